//! Retention: what is removed by itself, by which rule, and why.
//!
//! [`plan`] decides, and touches nothing: a dry run and a purge are the same decision. What is locked
//! stays; what an index that stays lists, and what refers to a manifest that stays, by its subject or
//! by its tag's name, stays with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use oci::{Digest, Reference, Repository, Tag, matches};
use rusqlite::{Connection, params};

use crate::assessed::note_leaving;
use crate::change::newest_change;
use crate::deleted::{keep_manifest, keep_tag};
use crate::event::Outbox;
use crate::repository::{parse_digest, repository_id};
use crate::ruled::rule_retagged;
use crate::{Error, EventAction, Metastore, Origin, RegistryId};

/// A rule of a registry. Tags go by `keep_newest`, `older_than_days` and `not_pulled_days`: a tag goes
/// if every condition that is set holds; if none of the three is set, no tag goes. Manifests without a
/// tag go by `untagged_days`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionRule {
    /// Its name, unique in the registry.
    pub name: String,
    /// The repositories it is for; `*` stands for any characters.
    pub repositories: String,
    /// The tags it is for; `*` stands for any characters.
    pub tags: String,
    /// The newest of these tags of a repository, by when they were last moved, stay.
    pub keep_newest: Option<u32>,
    /// Only tags that were last moved longer ago than this go.
    pub older_than_days: Option<u32>,
    /// Only tags whose manifest was pushed, and last pulled, longer ago than this go.
    pub not_pulled_days: Option<u32>,
    /// Manifests that were pushed, and lost their last tag, longer ago than this go.
    pub untagged_days: Option<u32>,
}

/// Something that a rule removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// A tag, or a manifest.
    pub reference: Reference,
    /// The rule's name.
    pub rule: String,
    /// Why, for people.
    pub reason: String,
}

/// When a manifest was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// From which registry.
    pub registry: RegistryId,
    /// From which repository.
    pub repository: Repository,
    /// What.
    pub digest: Digest,
    /// When.
    pub at_ms: i64,
}

impl Metastore {
    /// The rules of a registry, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn retention_rules(&self, registry: RegistryId) -> Result<Vec<RetentionRule>, Error> {
        self.read(move |rows| rules(rows, registry)).await
    }

    /// Makes or replaces a rule.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_retention_rule(&self, registry: RegistryId, rule: RetentionRule) -> Result<(), Error> {
        self.write(move |rows| {
            rows.prepare_cached(
                "INSERT INTO retention_rule (registry_id, name, repositories, tags, keep_newest,
                   older_than_days, not_pulled_days, untagged_days) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (registry_id, name) DO UPDATE SET repositories = excluded.repositories,
                   tags = excluded.tags, keep_newest = excluded.keep_newest,
                   older_than_days = excluded.older_than_days, not_pulled_days = excluded.not_pulled_days,
                   untagged_days = excluded.untagged_days",
            )?
            .execute(params![
                registry.0,
                rule.name,
                rule.repositories,
                rule.tags,
                rule.keep_newest,
                rule.older_than_days,
                rule.not_pulled_days,
                rule.untagged_days
            ])?;
            Ok(())
        })
        .await
    }

    /// Removes a rule. `false`: there was none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_retention_rule(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let sql = "DELETE FROM retention_rule WHERE registry_id = ?1 AND name = ?2";
            Ok(rows.prepare_cached(sql)?.execute(params![registry.0, name])? == 1)
        })
        .await
    }

    /// What the registry's rules would remove from a repository now. Removes nothing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn planned_removals(
        &self,
        registry: RegistryId,
        repository: &Repository,
        now_ms: i64,
    ) -> Result<Vec<Removal>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(Vec::new()) };
            Ok(plan(&load(rows, id)?, &rules_for(rows, registry, &repository)?, now_ms))
        })
        .await
    }

    /// Every repository of a registry, listed or not, in byte order.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn every_repository(&self, registry: RegistryId) -> Result<Vec<Repository>, Error> {
        self.read(move |rows| {
            let mut statement =
                rows.prepare_cached("SELECT name FROM repository WHERE registry_id = ?1 ORDER BY name")?;
            let names = statement.query_map([registry.0], |row| row.get::<_, String>(0))?;
            names.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "repository name" })).collect()
        })
        .await
    }

    /// Removes what the registry's rules say, decided and done in one transaction; returns what went.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn purge(
        &self,
        registry: RegistryId,
        repository: &Repository,
        now_ms: i64,
    ) -> Result<Vec<Removal>, Error> {
        let (repository, origin) = (repository.clone(), Arc::clone(&self.origin));
        self.write(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(Vec::new()) };
            let rules = rules_for(rows, registry, &repository)?;
            if rules.is_empty() {
                return Ok(Vec::new());
            }
            let removals = plan(&load(rows, id)?, &rules, now_ms);
            let outbox = Outbox::open(rows, registry.0, &[EventAction::Delete], &origin, now_ms)?;
            for removal in &removals {
                match &removal.reference {
                    Reference::Tag(tag) => {
                        keep_tag(rows, registry, id, tag, now_ms)?;
                        remove_tag(rows, id, tag, &origin, now_ms)?;
                    }
                    Reference::Digest(digest) => {
                        if let Some(outbox) = &outbox {
                            outbox.deleted(id, &repository, digest)?;
                        }
                        keep_manifest(rows, registry, id, digest, now_ms)?;
                        remove_manifest(rows, id, digest, now_ms)?;
                    }
                }
            }
            Ok(removals)
        })
        .await
    }

    /// Records when manifests were last pulled. What is gone meanwhile is skipped.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn record_pulls(&self, pulls: Vec<Pull>) -> Result<(), Error> {
        self.grow(move |rows| {
            let mut statement = rows.prepare_cached(
                "UPDATE manifest SET pulled_ms = max(coalesce(pulled_ms, 0), ?4)
                 WHERE digest = ?3
                   AND repository_id = (SELECT id FROM repository WHERE registry_id = ?1 AND name = ?2)",
            )?;
            for pull in pulls {
                statement.execute(params![
                    pull.registry.0,
                    pull.repository.as_str(),
                    pull.digest.to_string(),
                    pull.at_ms
                ])?;
            }
            Ok(())
        })
        .await
    }
}

/// Takes a tag away and notes since when its manifest has been without it. `false`: there was none.
pub(crate) fn remove_tag(
    rows: &Connection,
    id: i64,
    tag: &Tag,
    origin: &Origin,
    now_ms: i64,
) -> Result<bool, Error> {
    let since = newest_change(rows)?;
    note_untagged(rows, id, tag, "", now_ms)?;
    let gone = rows
        .prepare_cached("DELETE FROM tag WHERE repository_id = ?1 AND name = ?2")?
        .execute(params![id, tag.as_str()])?;
    rule_retagged(rows, since, origin, now_ms)?;
    Ok(gone == 1)
}

/// The tag is about to leave what it points to, unless that is `to`.
pub(crate) fn note_untagged(
    rows: &Connection,
    id: i64,
    tag: &Tag,
    to: &str,
    now_ms: i64,
) -> Result<(), Error> {
    rows.prepare_cached(
        "UPDATE manifest SET untagged_ms = ?4 WHERE repository_id = ?1
         AND digest = (SELECT digest FROM tag WHERE repository_id = ?1 AND name = ?2 AND digest <> ?3)",
    )?
    .execute(params![id, tag.as_str(), to, now_ms])?;
    Ok(())
}

/// Takes a manifest away; with its last copy in the house its verdict goes too.
fn remove_manifest(rows: &Connection, id: i64, digest: &Digest, now_ms: i64) -> Result<(), Error> {
    let digest = digest.to_string();
    note_leaving(rows, (id, &digest), now_ms)?;
    rows.prepare_cached("DELETE FROM manifest WHERE repository_id = ?1 AND digest = ?2")?
        .execute(params![id, digest])?;
    rows.prepare_cached(
        "DELETE FROM image WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM manifest WHERE digest = ?1)",
    )?
    .execute([digest])?;
    Ok(())
}

fn rules(rows: &Connection, registry: RegistryId) -> Result<Vec<RetentionRule>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT name, repositories, tags, keep_newest, older_than_days, not_pulled_days, untagged_days
         FROM retention_rule WHERE registry_id = ?1 ORDER BY name",
    )?;
    let found = statement.query_map([registry.0], |row| {
        Ok(RetentionRule {
            name: row.get(0)?,
            repositories: row.get(1)?,
            tags: row.get(2)?,
            keep_newest: row.get(3)?,
            older_than_days: row.get(4)?,
            not_pulled_days: row.get(5)?,
            untagged_days: row.get(6)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn rules_for(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
) -> Result<Vec<RetentionRule>, Error> {
    let mut rules = rules(rows, registry)?;
    rules.retain(|rule| matches(&rule.repositories, repository.as_str()));
    Ok(rules)
}

/// A repository as far as rules look at it.
struct Contents {
    is_locked: bool,
    /// The one last moved first.
    tags: Vec<TagState>,
    manifests: HashMap<Digest, ManifestState>,
}

struct TagState {
    tag: Tag,
    digest: Digest,
    updated_ms: i64,
    is_locked: bool,
}

struct ManifestState {
    pushed_ms: i64,
    pulled_ms: i64,
    untagged_ms: i64,
    is_locked: bool,
    /// What goes with it if nothing else holds it: its children, and those that refer to it.
    holds: Vec<Digest>,
}

fn load(rows: &Connection, id: i64) -> Result<Contents, Error> {
    let is_locked = rows
        .prepare_cached("SELECT locks & 3 <> 0 FROM repository WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let mut contents = Contents { is_locked, tags: Vec::new(), manifests: HashMap::new() };
    let mut statement = rows.prepare_cached(
        "SELECT digest, pushed_ms, coalesce(pulled_ms, 0), coalesce(untagged_ms, 0), locks & 3 <> 0
         FROM manifest WHERE repository_id = ?1",
    )?;
    let mut found = statement.query([id])?;
    while let Some(row) = found.next()? {
        let state = ManifestState {
            pushed_ms: row.get(1)?,
            pulled_ms: row.get(2)?,
            untagged_ms: row.get(3)?,
            is_locked: row.get(4)?,
            holds: Vec::new(),
        };
        contents.manifests.insert(parse_digest(&row.get::<_, String>(0)?)?, state);
    }
    let mut statement = rows.prepare_cached(
        "SELECT needed.manifest, needed.target FROM manifest_reference AS needed
         JOIN manifest ON manifest.repository_id = needed.repository_id AND manifest.digest = needed.target
         WHERE needed.repository_id = ?1
         UNION SELECT subject, digest FROM manifest WHERE repository_id = ?1 AND subject IS NOT NULL",
    )?;
    let mut found = statement.query([id])?;
    while let Some(row) = found.next()? {
        let (holder, held): (String, String) = (row.get(0)?, row.get(1)?);
        if let Some(state) = contents.manifests.get_mut(&parse_digest(&holder)?) {
            state.holds.push(parse_digest(&held)?);
        }
    }
    let mut statement = rows.prepare_cached(
        "SELECT name, digest, updated_ms, locks & 3 <> 0 FROM tag
         WHERE repository_id = ?1 ORDER BY updated_ms DESC, name DESC",
    )?;
    let mut found = statement.query([id])?;
    while let Some(row) = found.next()? {
        contents.tags.push(TagState {
            tag: row.get::<_, String>(0)?.parse().map_err(|_| Error::Damaged { what: "tag" })?,
            digest: parse_digest(&row.get::<_, String>(1)?)?,
            updated_ms: row.get(2)?,
            is_locked: row.get(3)?,
        });
    }
    Ok(contents)
}

/// What goes: tags first, then manifests, holders before what they hold.
fn plan(contents: &Contents, rules: &[RetentionRule], now_ms: i64) -> Vec<Removal> {
    if contents.is_locked {
        return Vec::new();
    }
    let mut removals = Vec::new();
    let mut gone = HashSet::new();
    let attached = attached(contents);
    let is_attached =
        |state: &TagState| subject_of(&state.tag).is_some_and(|subject| attached.contains_key(&subject));
    for rule in rules {
        let matching = contents
            .tags
            .iter()
            .filter(|state| !is_attached(state) && matches(&rule.tags, state.tag.as_str()));
        for (place, state) in matching.enumerate() {
            let is_held = state.is_locked
                || contents.manifests.get(&state.digest).is_none_or(|manifest| manifest.is_locked);
            let reason = tag_reason(rule, place, state, contents, now_ms);
            if let (false, Some(reason)) = (is_held, reason)
                && gone.insert(&state.tag)
            {
                let reference = Reference::Tag(state.tag.clone());
                removals.push(Removal { reference, rule: rule.name.clone(), reason });
            }
        }
    }
    let (mut tagged, mut untagged_now) = (HashSet::new(), HashSet::new());
    for state in contents.tags.iter().filter(|state| state.is_locked || !is_attached(state)) {
        if gone.contains(&state.tag) { &mut untagged_now } else { &mut tagged }.insert(&state.digest);
    }
    let mut holders: HashMap<&Digest, usize> = HashMap::new();
    let tagged_beside = attached.values().flatten().map(|state| &state.digest);
    for held in contents.manifests.values().flat_map(|state| &state.holds).chain(tagged_beside) {
        *holders.entry(held).or_default() += 1;
    }
    let mut loose: Vec<&Digest> =
        contents.manifests.keys().filter(|digest| !holders.contains_key(digest)).collect();
    // The same rows make the same plan.
    loose.sort_by_key(|digest| std::cmp::Reverse(digest.to_string()));
    while let Some(digest) = loose.pop() {
        let Some(state) = contents.manifests.get(digest) else { continue };
        if state.is_locked || tagged.contains(digest) {
            continue;
        }
        let untagged_ms = if untagged_now.contains(digest) { now_ms } else { state.untagged_ms };
        let since_ms = state.pushed_ms.max(untagged_ms);
        let Some((rule, days)) = rules
            .iter()
            .filter_map(|rule| rule.untagged_days.map(|days| (rule, days)))
            .find(|(_, days)| is_past(since_ms, *days, now_ms))
        else {
            continue;
        };
        let reason = format!("without a tag for {} days or more: {days} are allowed", age(since_ms, now_ms));
        let reference = Reference::Digest(digest.clone());
        removals.push(Removal { reference, rule: rule.name.clone(), reason });
        let beside = attached.get(digest).map(Vec::as_slice).unwrap_or_default();
        for TagState { tag, .. } in beside.iter().filter(|state| !state.is_locked) {
            let (reference, reason) = (Reference::Tag(tag.clone()), format!("is about {digest}, which goes"));
            removals.push(Removal { reference, rule: rule.name.clone(), reason });
        }
        for held in state.holds.iter().chain(beside.iter().map(|state| &state.digest)) {
            if let Some(count) = holders.get_mut(held) {
                *count -= 1;
                if *count == 0 {
                    loose.push(held);
                }
            }
        }
    }
    removals
}

/// Tags that say by their name what they are about: they stay and go with that.
fn attached(contents: &Contents) -> HashMap<Digest, Vec<&TagState>> {
    let mut attached: HashMap<Digest, Vec<&TagState>> = HashMap::new();
    for state in &contents.tags {
        if let Some(subject) = subject_of(&state.tag)
            && subject != state.digest
            && contents.manifests.contains_key(&subject)
        {
            attached.entry(subject).or_default().push(state);
        }
    }
    attached
}

/// What a tag is about by cosign's scheme (`sha256-HEX.sig`, `.att`, `.sbom`) or the distribution
/// specification's referrers tag schema (`sha256-HEX`).
fn subject_of(tag: &Tag) -> Option<Digest> {
    let name = tag.as_str();
    let name = [".sig", ".att", ".sbom"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    format!("sha256:{}", name.strip_prefix("sha256-")?).parse().ok()
}

/// Why the rule removes the tag at that place among those it is for, the newest first.
fn tag_reason(
    rule: &RetentionRule,
    place: usize,
    state: &TagState,
    contents: &Contents,
    now_ms: i64,
) -> Option<String> {
    let mut reasons = Vec::new();
    if let Some(keep) = rule.keep_newest {
        if place < usize::try_from(keep).unwrap_or(usize::MAX) {
            return None;
        }
        reasons.push(format!("number {} of the tags {}: the newest {keep} stay", place + 1, rule.tags));
    }
    if let Some(days) = rule.older_than_days {
        if !is_past(state.updated_ms, days, now_ms) {
            return None;
        }
        reasons.push(format!("{} days old: {days} are allowed", age(state.updated_ms, now_ms)));
    }
    if let Some(days) = rule.not_pulled_days {
        let manifest = contents.manifests.get(&state.digest)?;
        let since_ms = manifest.pushed_ms.max(manifest.pulled_ms).max(state.updated_ms);
        if !is_past(since_ms, days, now_ms) {
            return None;
        }
        reasons.push(format!(
            "neither pushed nor pulled for {} days: {days} are allowed",
            age(since_ms, now_ms)
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn is_past(since_ms: i64, days: u32, now_ms: i64) -> bool {
    now_ms.saturating_sub(since_ms) >= i64::from(days) * DAY_MS
}

fn age(since_ms: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(since_ms) / DAY_MS
}

const DAY_MS: i64 = 86_400_000;
