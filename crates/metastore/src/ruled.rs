//! What the rules make of an image in its repository.

use assessment::{Criteria, Exemption, Finding, ImageState, RuledFinding, RuledImage};
use inventory::Distro;
use oci::{Digest, Repository, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::image::tags_of;
use crate::repository::parse_digest;
use crate::tenancy::parse_uuid;
use crate::watched::Watched;
use crate::{Error, Origin, Rule, RuleScope};

/// What rules make of an image: its state with them, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    /// The state without what they disable.
    pub state: ImageState,
    /// How many findings they disable.
    pub disabled: u64,
    /// When the state last became another.
    pub changed_ms: i64,
}

/// What an image was before what happened now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prior {
    /// As its row says: its verdict is not new.
    AsStored,
    /// The state of the verdict before this one, and since when.
    Was(ImageState, i64),
}

/// Decides anew for every image that changed after a place in the log.
pub(crate) fn rule_changes(rows: &Connection, since: i64, prior: Prior, now_ms: i64) -> Result<(), Error> {
    for (repository, digest) in changed(rows, since)? {
        rule_image(rows, (repository, &digest), prior, None, now_ms)?;
    }
    Ok(())
}

/// The same for images whose tags alone changed, and tells what that makes of them.
pub(crate) fn rule_retagged(
    rows: &Connection,
    since: i64,
    origin: &Origin,
    now_ms: i64,
) -> Result<(), Error> {
    rule_images(rows, &changed(rows, since)?, None, origin, now_ms)
}

/// The same for the images of an index to which a document with rules was attached before it was there.
pub(crate) fn rule_children(
    rows: &Connection,
    repository_id: i64,
    index: &str,
    origin: &Origin,
    now_ms: i64,
) -> Result<(), Error> {
    let mut statement = rows.prepare_cached(
        "SELECT target FROM manifest_reference WHERE repository_id = ?1 AND manifest = ?2
           AND EXISTS (SELECT 1 FROM rule WHERE rule.vex_repository_id = ?1 AND rule.vex_subject = ?2)",
    )?;
    let found = statement.query_map(params![repository_id, index], |row| Ok((repository_id, row.get(0)?)))?;
    let children: Vec<(i64, String)> = found.collect::<Result<_, _>>()?;
    rule_images(rows, &children, None, origin, now_ms)
}

/// Decides anew for these images, by their repositories, and tells what that makes of them.
pub(crate) fn rule_images(
    rows: &Connection,
    images: &[(i64, String)],
    touched: Option<i64>,
    origin: &Origin,
    now_ms: i64,
) -> Result<(), Error> {
    for (repository, digest) in images {
        let watched = Watched::begin(rows, digest)?;
        rule_image(rows, (*repository, digest), Prior::AsStored, touched, now_ms)?;
        watched.end(rows, origin, now_ms)?;
    }
    Ok(())
}

/// The images that changed after a place in the log; none in the usual house, which has no rules.
fn changed(rows: &Connection, since: i64) -> Result<Vec<(i64, String)>, Error> {
    if !rows.prepare_cached("SELECT 1 FROM rule UNION ALL SELECT 1 FROM ruled LIMIT 1")?.exists([])? {
        return Ok(Vec::new());
    }
    let sql = "SELECT repository_id, digest FROM change WHERE seq > ?1 AND repository_id <> 0";
    let mut statement = rows.prepare_cached(sql)?;
    let images = statement.query_map([since], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(images.collect::<Result<_, _>>()?)
}

/// Decides anew which findings of an image in its repository are disabled, and what state that leaves. Here
/// a change of an image's state by a rule, a tag or a verdict is known: before, and after.
///
/// What `touched` says of a finding may have changed though it disables the same.
fn rule_image(
    rows: &Connection,
    (repository_id, digest): (i64, &str),
    prior: Prior,
    touched: Option<i64>,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(image) = load(rows, repository_id, digest)? else { return Ok(()) };
    let exemptions = decide(rows, &image)?;
    let open = image.findings.len() - exemptions.len();
    let state = if image.state == ImageState::Unhealthy && open == 0 && !image.findings.is_empty() {
        ImageState::without_findings(&image.causes)
    } else {
        image.state
    };
    let stored = stored(rows, repository_id, digest)?;
    let known: Vec<(u32, i64)> = if stored.is_some() {
        let sql = "SELECT position, rule_id FROM exemption WHERE repository_id = ?1 AND digest = ?2 ORDER BY position";
        let mut statement = rows.prepare_cached(sql)?;
        let found =
            statement.query_map(params![repository_id, digest], |row| Ok((row.get(0)?, row.get(1)?)))?;
        found.collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    if stored.is_none() && exemptions.is_empty() {
        return Ok(());
    }
    let (was, was_since_ms) = match (&stored, prior) {
        (Some(ruled), _) => (ruled.state, ruled.changed_ms),
        (None, Prior::Was(state, changed_ms)) => (state, changed_ms),
        (None, Prior::AsStored) => (image.state, image.changed_ms),
    };
    let is_touched = touched.is_some_and(|rule| exemptions.iter().any(|(_, by)| *by == rule));
    if was == state && known == exemptions && stored.is_some() && !is_touched {
        return Ok(());
    }
    let changed_ms = if was == state { was_since_ms } else { now_ms };
    rows.prepare_cached(
        "INSERT INTO ruled (repository_id, digest, state, changed_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET state = excluded.state, changed_ms = excluded.changed_ms",
    )?
    .execute(params![repository_id, digest, state.name(), changed_ms])?;
    rows.prepare_cached("DELETE FROM exemption WHERE repository_id = ?1 AND digest = ?2")?
        .execute(params![repository_id, digest])?;
    let mut insert = rows.prepare_cached(
        "INSERT INTO exemption (repository_id, digest, position, rule_id) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (position, rule) in exemptions {
        insert.execute(params![repository_id, digest, position, rule])?;
    }
    Ok(())
}

/// What is stored of what rules make of an image.
pub(crate) fn stored(rows: &Connection, repository_id: i64, digest: &str) -> Result<Option<Ruled>, Error> {
    let sql = "SELECT state, changed_ms, (SELECT count(*) FROM exemption
                 WHERE exemption.repository_id = ruled.repository_id AND exemption.digest = ruled.digest)
               FROM ruled WHERE repository_id = ?1 AND digest = ?2";
    let found = rows.prepare_cached(sql)?.query_row(params![repository_id, digest], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    });
    let Some((state, changed_ms, disabled)) = found.optional()? else { return Ok(None) };
    let state = ImageState::from_name(&state).ok_or(Error::Damaged { what: "state" })?;
    Ok(Some(Ruled { state, disabled, changed_ms }))
}

/// The findings of an image in a repository from a position on, worst first, each with what disables it there.
pub(crate) fn findings(
    rows: &Connection,
    (repository_id, image): (i64, &str),
    position: u32,
    limit: usize,
) -> Result<Vec<RuledFinding>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT document, rule.subscription_id, rule.resource_group, rule.registry, rule.name, rule.reason,
                rule.expires_ms
         FROM finding
         LEFT JOIN exemption ON exemption.repository_id = ?1 AND exemption.digest = finding.image
           AND exemption.position = finding.position
         LEFT JOIN rule ON rule.id = exemption.rule_id
         WHERE finding.image = ?2 AND finding.position >= ?3 ORDER BY finding.position LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = statement.query(params![repository_id, image, position, limit])?;
    let mut findings = Vec::new();
    while let Some(row) = found.next()? {
        let document = row.get_ref(0)?.as_str().map_err(|_| Error::Damaged { what: "finding" })?;
        let finding = serde_json::from_str(document).map_err(|_| Error::Damaged { what: "finding" })?;
        let exemption = match row.get::<_, Option<String>>(4)? {
            None => None,
            Some(name) => {
                let rule = Rule {
                    scope: scope([row.get(1)?, row.get(2)?, row.get(3)?])?,
                    name,
                    criteria: Criteria::default(),
                    reason: row.get(5)?,
                    expires_ms: row.get(6)?,
                };
                Some(Exemption {
                    rule: rule.resource_id(),
                    name: rule.name,
                    reason: rule.reason,
                    expires_ms: rule.expires_ms,
                })
            }
        };
        findings.push(RuledFinding { finding, exemption });
    }
    Ok(findings)
}

/// A scope from its columns.
pub(crate) fn scope([subscription, group, registry]: [String; 3]) -> Result<RuleScope, Error> {
    let named = |name: String| Some(name).filter(|name| !name.is_empty());
    Ok(RuleScope {
        subscription: named(subscription).map(|id| parse_uuid(&id)).transpose()?,
        resource_group: named(group),
        registry: named(registry),
    })
}

/// An image as rules look at it.
struct Loaded {
    registry: i64,
    repository_id: i64,
    repository: Repository,
    digest: Digest,
    tags: Vec<Tag>,
    distro: Option<Distro>,
    state: ImageState,
    causes: Vec<assessment::Cause>,
    changed_ms: i64,
    findings: Vec<Finding>,
}

fn load(rows: &Connection, repository_id: i64, digest: &str) -> Result<Option<Loaded>, Error> {
    let sql = "SELECT repository.registry_id, repository.name, image.distro, image.state, image.causes, image.changed_ms
               FROM manifest JOIN repository ON repository.id = manifest.repository_id
               JOIN image ON image.digest = manifest.digest
               WHERE manifest.repository_id = ?1 AND manifest.digest = ?2 AND manifest.kind <> 'index'";
    type Row = (i64, String, Option<String>, String, String, i64);
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    };
    let found = rows.prepare_cached(sql)?.query_row(params![repository_id, digest], row).optional()?;
    let Some((registry, repository, distro, state, causes, changed_ms)) = found else { return Ok(None) };
    let mut statement =
        rows.prepare_cached("SELECT document FROM finding WHERE image = ?1 ORDER BY position")?;
    let documents = statement.query_map([digest], |row| row.get::<_, String>(0))?;
    let findings: Result<_, Error> = documents
        .map(|text| serde_json::from_str(&text?).map_err(|_| Error::Damaged { what: "finding" }))
        .collect();
    Ok(Some(Loaded {
        registry,
        repository_id,
        repository: repository.parse().map_err(|_| Error::Damaged { what: "repository name" })?,
        digest: parse_digest(digest)?,
        tags: tags_of(rows, repository_id, digest)?,
        distro: parse_distro(distro)?,
        state: ImageState::from_name(&state).ok_or(Error::Damaged { what: "state" })?,
        causes: serde_json::from_str(&causes).map_err(|_| Error::Damaged { what: "cause" })?,
        changed_ms,
        findings: findings?,
    }))
}

/// The stored operating system of an image.
pub(crate) fn parse_distro(text: Option<String>) -> Result<Option<Distro>, Error> {
    let damaged = |_| Error::Damaged { what: "distribution" };
    text.map(|text| serde_json::from_str(&text).map_err(damaged)).transpose()
}

/// Which findings are disabled, by position, each by the oldest rule that covers it.
fn decide(rows: &Connection, image: &Loaded) -> Result<Vec<(u32, i64)>, Error> {
    if image.findings.is_empty() {
        return Ok(Vec::new());
    }
    let looked_at = RuledImage {
        repository: &image.repository,
        digest: &image.digest,
        tags: &image.tags,
        distro: image.distro.as_ref(),
    };
    let mut statement = rows.prepare_cached(
        "SELECT rule.id, rule.criteria, FALSE FROM rule JOIN registry ON registry.id = ?1
         WHERE rule.is_expired = 0 AND rule.vex_manifest IS NULL
           AND rule.subscription_id IN ('', registry.subscription_id)
           AND (rule.resource_group = '' OR rule.resource_group = registry.resource_group)
           AND (rule.registry = '' OR rule.registry = registry.name)
         UNION ALL
         SELECT rule.id, rule.criteria, TRUE FROM rule
         WHERE rule.vex_repository_id = ?2 AND rule.is_expired = 0 AND rule.is_detached = 0
           AND rule.vex_subject IN (SELECT ?3 UNION ALL SELECT manifest FROM manifest_reference
                                WHERE manifest_reference.repository_id = ?2 AND target = ?3)
         ORDER BY rule.id",
    )?;
    let mut rules = Vec::new();
    let mut found =
        statement.query(params![image.registry, image.repository_id, image.digest.to_string()])?;
    while let Some(row) = found.next()? {
        let criteria: Criteria =
            serde_json::from_str(&row.get::<_, String>(1)?).map_err(|_| Error::Damaged { what: "rule" })?;
        // A document is attached to the image, or to an index that has it.
        if row.get(2)? || criteria.is_for(&looked_at) {
            rules.push((row.get::<_, i64>(0)?, criteria));
        }
    }
    let by =
        |finding: &Finding| rules.iter().find(|(_, criteria)| criteria.covers(finding)).map(|(id, _)| *id);
    let decided = (0_u32..).zip(&image.findings);
    Ok(decided.filter_map(|(position, finding)| by(finding).map(|id| (position, id))).collect())
}
