//! Rules that disable findings: kept, and carried out by what they change.
//!
//! Whatever changes an image, its tags or a rule decides anew, in the same transaction, which findings of
//! the images concerned are disabled, and stores that. Readers only read it.

use std::str::FromStr;
use std::sync::Arc;

use assessment::Criteria;
use oci::{Digest, Repository};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::repository::repository_id;
use crate::ruled::{rule_images, scope};
use crate::{Error, Metastore, Registry, RegistryId};

/// Where a rule holds, and beneath: everywhere, in a subscription, a group, or a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleScope {
    /// `None`: in all.
    pub subscription: Option<Uuid>,
    /// `None`: in all.
    pub resource_group: Option<String>,
    /// `None`: in all.
    pub registry: Option<String>,
}

/// A rule as somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub scope: RuleScope,
    /// Its name, unique in the scope whatever the case.
    pub name: String,
    /// What it disables.
    pub criteria: Criteria,
    /// Why, for people.
    pub reason: String,
    /// When it ends by itself.
    pub expires_ms: Option<i64>,
}

/// A rule as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRule {
    /// The rule.
    pub rule: Rule,
    /// True once its expiry has taken effect.
    pub is_expired: bool,
    /// How many findings it disables now.
    pub disabled: u64,
    /// When it was made.
    pub created_ms: i64,
    /// Who made it.
    pub created_by: String,
    /// When it was last changed.
    pub changed_ms: i64,
    /// Who changed it last.
    pub changed_by: String,
}

/// A document that brings rules with it: a manifest in its repository, and what it is attached to.
#[derive(Clone, Debug)]
pub struct RulesDocument {
    /// Where it is.
    pub registry: RegistryId,
    /// Where it is there.
    pub repository: Repository,
    /// The document's manifest.
    pub digest: Digest,
    /// The image or index that it is attached to.
    pub subject: Digest,
    /// The principal that attached it, by its id.
    pub by: String,
}

/// What became of making or changing a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutRule {
    /// It is new, and holds.
    Created,
    /// It was there, and is as wanted now.
    Updated,
    /// There is no such subscription, group or registry.
    NoScope,
    /// There are as many rules as there may be.
    TooMany,
}

impl RuleScope {
    /// Its ARM id; `/` for everywhere.
    #[must_use]
    pub fn id(&self) -> String {
        let Some(subscription) = self.subscription else { return "/".to_owned() };
        let mut id = format!("/subscriptions/{subscription}");
        if let Some(group) = &self.resource_group {
            id.push_str(&format!("/resourceGroups/{group}"));
        }
        if let Some(registry) = &self.registry {
            id.push_str(&format!("/providers/Microsoft.ContainerRegistry/registries/{registry}"));
        }
        id
    }

    /// True if the registry is in it.
    #[must_use]
    pub fn holds(&self, registry: &Registry) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        self.subscription.is_none_or(|id| id == registry.subscription)
            && is(&self.resource_group, &registry.resource_group)
            && is(&self.registry, &registry.name)
    }

    /// The scope of a registry.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        Self {
            subscription: Some(registry.subscription),
            resource_group: Some(registry.resource_group.clone()),
            registry: Some(registry.name.clone()),
        }
    }

    fn columns(&self) -> [String; 3] {
        let subscription = self.subscription.map(|id| id.to_string()).unwrap_or_default();
        let [group, registry] =
            [&self.resource_group, &self.registry].map(|name| name.clone().unwrap_or_default());
        [subscription, group, registry]
    }
}

impl FromStr for RuleScope {
    type Err = InvalidScope;

    /// An ARM id, or `/`.
    ///
    /// ```
    /// let scope = |id: &str| id.parse::<metastore::RuleScope>();
    /// let group = "/subscriptions/00000000-0000-0000-0000-000000000007/resourceGroups/g";
    /// assert_eq!(scope(group).unwrap().id(), group);
    /// assert_eq!(scope("/").unwrap().id(), "/");
    /// assert!(scope("/subscriptions/7").is_err());
    /// ```
    fn from_str(id: &str) -> Result<Self, InvalidScope> {
        let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
        let is = |at: usize, word: &str| segments.get(at).is_some_and(|it| it.eq_ignore_ascii_case(word));
        let has_words = [(0, "subscriptions"), (2, "resourceGroups"), (4, "providers")]
            .into_iter()
            .chain([(5, "Microsoft.ContainerRegistry"), (6, "registries")])
            .all(|(at, word)| at >= segments.len() || is(at, word));
        if !has_words || !matches!(segments.len(), 0 | 2 | 4 | 8) {
            return Err(InvalidScope);
        }
        let name = |at: usize| segments.get(at).map(|name| (*name).to_owned());
        let subscription = segments.get(1).map(|id| Uuid::parse_str(id)).transpose();
        Ok(Self {
            subscription: subscription.map_err(|_| InvalidScope)?,
            resource_group: name(3),
            registry: name(7),
        })
    }
}

/// Not a scope for rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule's scope is the ARM id of a subscription, resource group or registry, or / for everything")]
pub struct InvalidScope;

/// Why no rule can be made of what somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// The name.
    #[error("a rule's name is of 1 to {NAME_LEN_MAX} letters, digits, dots, dashes and underscores")]
    Name,
    /// The reason.
    #[error("a rule has a reason, of at most {REASON_BYTES_MAX} bytes")]
    Reason,
    /// The end.
    #[error("the rule would end before it begins")]
    Expiry,
}

impl Rule {
    /// The rule, if it can be one.
    ///
    /// # Errors
    /// [`InvalidRule`].
    pub fn checked(self, now_ms: i64) -> Result<Self, InvalidRule> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=NAME_LEN_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            return Err(InvalidRule::Name);
        }
        if self.reason.trim().is_empty() || self.reason.len() > REASON_BYTES_MAX {
            return Err(InvalidRule::Reason);
        }
        if self.expires_ms.is_some_and(|ms| ms <= now_ms) {
            return Err(InvalidRule::Expiry);
        }
        Ok(self)
    }

    /// Its resource id.
    #[must_use]
    pub fn resource_id(&self) -> String {
        let scope = self.scope.id();
        format!("{}/providers/Microsoft.Security/findingRules/{}", scope.trim_end_matches('/'), self.name)
    }
}

impl Metastore {
    /// Every rule, by scope and name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn rules(&self) -> Result<Vec<StoredRule>, Error> {
        self.read(|rows| {
            let sql = format!("{RULES} ORDER BY subscription_id, resource_group, registry, name");
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map([], raw_rule)?;
            found.map(|raw| stored_rule(raw?)).collect()
        })
        .await
    }

    /// The rule of that name in that very scope.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn rule(&self, scope: RuleScope, name: &str) -> Result<Option<StoredRule>, Error> {
        let name = name.to_owned();
        self.read(move |rows| {
            let Some(id) = find(rows, &scope, &name)? else { return Ok(None) };
            let mut statement = rows.prepare_cached(&format!("{RULES} WHERE rule.id = ?1"))?;
            stored_rule(statement.query_row([id], raw_rule)?).map(Some)
        })
        .await
    }

    /// Makes a rule or replaces it, and disables what it covers, all or nothing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_rule(&self, rule: Rule, by: &str, now_ms: i64) -> Result<PutRule, Error> {
        let (by, origin) = (by.to_owned(), Arc::clone(&self.origin));
        self.write(move |rows| {
            if !exists(rows, &rule.scope)? {
                return Ok(PutRule::NoScope);
            }
            let [subscription, group, registry] = rule.scope.columns();
            let known = find(rows, &rule.scope, &rule.name)?;
            let sql = "SELECT count(*) FROM rule WHERE vex_manifest IS NULL";
            let count: usize = rows.query_row(sql, [], |row| row.get(0))?;
            if known.is_none() && count >= RULES_MAX {
                return Ok(PutRule::TooMany);
            }
            let mut images = known.map(|id| exempted(rows, id)).transpose()?.unwrap_or_default();
            let criteria = serde_json::to_string(&rule.criteria).map_err(|_| Error::Damaged { what: "rule" })?;
            let id: i64 = rows
                .prepare_cached(
                    "INSERT INTO rule (subscription_id, resource_group, registry, name, criteria, reason, expires_ms,
                                       created_ms, created_by, changed_ms, changed_by)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?9)
                     ON CONFLICT DO UPDATE SET criteria = excluded.criteria, reason = excluded.reason,
                       expires_ms = excluded.expires_ms, is_expired = 0, changed_ms = excluded.changed_ms,
                       changed_by = excluded.changed_by, vex_repository_id = NULL, vex_manifest = NULL, vex_subject = NULL,
                       is_detached = 0
                     RETURNING id",
                )?
                .query_row(
                    params![
                        subscription,
                        group,
                        registry,
                        rule.name,
                        criteria,
                        rule.reason,
                        rule.expires_ms,
                        now_ms,
                        by
                    ],
                    |row| row.get(0),
                )?;
            images.extend(candidates(rows, &rule)?);
            images.sort_unstable();
            images.dedup();
            rule_images(rows, &images, Some(id), &origin, now_ms)?;
            Ok(if known.is_some() { PutRule::Updated } else { PutRule::Created })
        })
        .await
    }

    /// Makes the rules that a document brings with it, which is attached to something in its repository: they hold for that alone,
    /// and end with the document. Those that are there already stay as they are. Says how many findings the document's
    /// rules disable now; `None`: there are as many rules as there may be, and none was made.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_document_rules(
        &self,
        document: RulesDocument,
        rules: Vec<(Criteria, String)>,
        now_ms: i64,
    ) -> Result<Option<u64>, Error> {
        let origin = Arc::clone(&self.origin);
        self.grow(move |rows| {
            let RulesDocument { registry, repository, digest, subject, by } = &document;
            let Some(repository_id) = repository_id(rows, *registry, repository)? else { return Ok(Some(0)) };
            let (digest, subject) = (digest.to_string(), subject.to_string());
            let sql = "SELECT 1 FROM manifest WHERE repository_id = ?1 AND digest = ?2";
            if !rows.prepare_cached(sql)?.exists(params![repository_id, digest])? {
                return Ok(Some(0));
            }
            let sql = "SELECT count(*) FROM rule WHERE vex_manifest IS NOT NULL";
            let count: usize = rows.query_row(sql, [], |row| row.get(0))?;
            if count + rules.len() > DOCUMENT_RULES_MAX {
                return Ok(None);
            }
            let mut insert = rows.prepare_cached(
                "INSERT INTO rule (subscription_id, resource_group, registry, name, criteria, reason, created_ms, created_by,
                                   changed_ms, changed_by, vex_repository_id, vex_manifest, vex_subject)
                 SELECT registry.subscription_id, registry.resource_group, registry.name, ?2, ?3, ?4, ?5, by.name, ?5, by.name,
                        ?7, ?8, ?9
                 FROM registry, (SELECT coalesce((SELECT name FROM principal WHERE id = ?6), ?6) AS name) AS by
                 WHERE registry.id = ?1
                 ON CONFLICT DO NOTHING",
            )?;
            // One document may be in several repositories of a registry.
            let place = Digest::sha256(format!("{repository}@{digest}").as_bytes());
            for (number, (criteria, reason)) in (1..).zip(&rules) {
                let name = format!("vex-{}-{number}", &place.hex()[..16]);
                let criteria = serde_json::to_string(criteria).map_err(|_| Error::Damaged { what: "rule" })?;
                insert.execute(params![
                    registry.0, name, criteria, reason, now_ms, by, repository_id, digest, subject
                ])?;
            }
            let mut statement = rows.prepare_cached(
                "SELECT ?2 UNION SELECT target FROM manifest_reference WHERE repository_id = ?1 AND manifest = ?2",
            )?;
            let images = statement.query_map(params![repository_id, subject], |row| Ok((repository_id, row.get(0)?)))?;
            let images: Vec<(i64, String)> = images.collect::<Result<_, _>>()?;
            rule_images(rows, &images, None, &origin, now_ms)?;
            let sql = "SELECT count(*) FROM exemption JOIN rule ON rule.id = exemption.rule_id
                       WHERE rule.vex_repository_id = ?1 AND rule.vex_manifest = ?2";
            Ok(Some(rows.prepare_cached(sql)?.query_row(params![repository_id, digest], |row| row.get(0))?))
        })
        .await
    }

    /// Removes a rule: what it disabled counts again, unless another rule covers it. `false`: there was
    /// none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_rule(&self, scope: RuleScope, name: &str, now_ms: i64) -> Result<bool, Error> {
        let (name, origin) = (name.to_owned(), Arc::clone(&self.origin));
        self.write(move |rows| {
            let Some(id) = find(rows, &scope, &name)? else { return Ok(false) };
            let images = exempted(rows, id)?;
            // Its exemptions stay until each image is decided anew: that is how the difference is seen.
            rows.prepare_cached("UPDATE rule SET is_expired = 1 WHERE id = ?1")?.execute([id])?;
            rule_images(rows, &images, None, &origin, now_ms)?;
            rows.prepare_cached("DELETE FROM rule WHERE id = ?1")?.execute([id])?;
            Ok(true)
        })
        .await
    }

    /// Ends the rules whose time has come, each as of its own time, and those whose documents are gone; says how many. To be
    /// called often: time alone ends them.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn expire_rules(&self, now_ms: i64) -> Result<usize, Error> {
        // Nobody waits for the writer as long as nothing has expired.
        if self.read(move |rows| expired(rows, now_ms)).await?.is_empty() {
            return Ok(0);
        }
        let origin = Arc::clone(&self.origin);
        self.write(move |rows| {
            let ended = expired(rows, now_ms)?;
            for (id, expires_ms) in &ended {
                rows.prepare_cached("UPDATE rule SET is_expired = 1 WHERE id = ?1")?.execute([id])?;
                rule_images(rows, &exempted(rows, *id)?, None, &origin, expires_ms.unwrap_or(now_ms))?;
            }
            rows.prepare_cached("DELETE FROM rule WHERE is_detached = 1")?.execute([])?;
            Ok(ended.len())
        })
        .await
    }
}

fn find(rows: &Connection, scope: &RuleScope, name: &str) -> Result<Option<i64>, Error> {
    let [subscription, group, registry] = scope.columns();
    let sql = "SELECT id FROM rule WHERE subscription_id = ?1 AND resource_group = ?2 AND registry = ?3 AND name = ?4";
    let parameters = params![subscription, group, registry, name];
    Ok(rows.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()?)
}

fn exists(rows: &Connection, scope: &RuleScope) -> Result<bool, Error> {
    let [subscription, group, registry] = scope.columns();
    let (sql, parameters): (&str, Vec<&String>) = if !registry.is_empty() {
        let sql = "SELECT 1 FROM registry WHERE subscription_id = ?1 AND resource_group = ?2 AND name = ?3
                   AND deleted_ms IS NULL";
        (sql, vec![&subscription, &group, &registry])
    } else if !group.is_empty() {
        ("SELECT 1 FROM resource_group WHERE subscription_id = ?1 AND name = ?2", vec![&subscription, &group])
    } else if !subscription.is_empty() {
        ("SELECT 1 FROM subscription WHERE id = ?1", vec![&subscription])
    } else {
        return Ok(true);
    };
    Ok(rows.prepare_cached(sql)?.exists(rusqlite::params_from_iter(parameters))?)
}

/// The rules that are to end, and as of when; `None`: now.
fn expired(rows: &Connection, now_ms: i64) -> Result<Vec<(i64, Option<i64>)>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT id, expires_ms FROM rule WHERE is_expired = 0 AND expires_ms IS NOT NULL AND expires_ms <= ?1
         UNION ALL SELECT id, NULL FROM rule WHERE is_detached = 1
         ORDER BY expires_ms, id",
    )?;
    let found = statement.query_map([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The images in which a rule disables something.
fn exempted(rows: &Connection, rule: i64) -> Result<Vec<(i64, String)>, Error> {
    let mut statement =
        rows.prepare_cached("SELECT DISTINCT repository_id, digest FROM exemption WHERE rule_id = ?1")?;
    let found = statement.query_map([rule], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The images in which a rule may disable something: those with findings in its scope, and of them, where
/// it names advisories or images, only those that have them.
fn candidates(rows: &Connection, rule: &Rule) -> Result<Vec<(i64, String)>, Error> {
    let [subscription, group, registry] = rule.scope.columns();
    let list = |list: serde_json::Value| list.to_string();
    let mut statement = rows.prepare_cached(
        "SELECT manifest.repository_id, manifest.digest FROM manifest
         JOIN repository ON repository.id = manifest.repository_id
         JOIN registry ON registry.id = repository.registry_id
         JOIN image ON image.digest = manifest.digest
         WHERE image.state = 'Unhealthy' AND manifest.kind <> 'index'
           AND (?1 = '' OR registry.subscription_id = ?1)
           AND (?2 = '' OR registry.resource_group = ?2)
           AND (?3 = '' OR registry.name = ?3)
           AND (?4 = '[]' OR manifest.digest IN (SELECT value FROM json_each(?4)))
           AND (?5 = '[]' OR manifest.digest IN (
             SELECT image FROM finding WHERE advisory IN (SELECT value FROM json_each(?5)) OR advisory IS NULL))",
    )?;
    let (images, advisories) =
        (list(serde_json::json!(rule.criteria.images)), list(serde_json::json!(rule.criteria.advisories)));
    let parameters = params![subscription, group, registry, images, advisories];
    let found = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

type RawRule = ([String; 6], Option<i64>, bool, u64, i64, String, i64, String);

fn raw_rule(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawRule> {
    let texts = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
    Ok((texts, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?, row.get(12)?))
}

fn stored_rule(raw: RawRule) -> Result<StoredRule, Error> {
    let (texts, expires_ms, is_expired, disabled, created_ms, created_by, changed_ms, changed_by) = raw;
    let [subscription, group, registry, name, criteria, reason] = texts;
    let scope = scope([subscription, group, registry])?;
    let criteria = serde_json::from_str(&criteria).map_err(|_| Error::Damaged { what: "rule" })?;
    let rule = Rule { scope, name, criteria, reason, expires_ms };
    Ok(StoredRule { rule, is_expired, disabled, created_ms, created_by, changed_ms, changed_by })
}

const RULES: &str = "SELECT subscription_id, resource_group, registry, name, criteria, reason, expires_ms, is_expired,
        (SELECT count(*) FROM exemption WHERE rule_id = rule.id), created_ms, created_by, changed_ms, changed_by
 FROM rule";

/// Each finding is held against each rule of its registry.
const RULES_MAX: usize = 1000;
/// Rules of documents are looked at for what the documents are attached to alone.
const DOCUMENT_RULES_MAX: usize = 100_000;
const NAME_LEN_MAX: usize = 128;
/// How long a rule's reason is at most.
pub const REASON_BYTES_MAX: usize = 1000;
