//! The rules in force, kept in memory with what they need to ask their sources.

use std::sync::Arc;
use std::time::Duration;

use metastore::{ActiveRule, Metastore, RegistryId};
use oci::Repository;
use parking_lot::RwLock;
use registry::StoreError;
use tokio::time::Instant;
use upstream::{Credentials, Limits, Reach, Upstream};

use super::Place;
use crate::Mapping;

/// A repository that is filled from elsewhere.
pub struct Filled {
    /// The rule's name.
    pub rule: String,
    /// Where the images come from, for people.
    pub source: String,
    pub(crate) place: Place,
    pub(crate) upstream: Upstream,
    /// The repository as the source calls it.
    pub(crate) there: Repository,
}

/// One rule that can be followed.
pub(super) struct Followed {
    rule: ActiveRule,
    mapping: Mapping,
    upstream: Upstream,
}

#[derive(Default)]
pub(super) struct Rules {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    read: Option<Instant>,
    followed: Arc<Vec<Arc<Followed>>>,
}

impl Rules {
    /// The rules; another process may change them.
    pub(super) async fn current(&self, metastore: &Metastore) -> Result<Arc<Vec<Arc<Followed>>>, StoreError> {
        let before = {
            let known = self.known.read();
            if known.read.is_some_and(|read| read.elapsed() < FRESH) {
                return Ok(Arc::clone(&known.followed));
            }
            Arc::clone(&known.followed)
        };
        let rules = metastore.active_cache_rules().await?;
        // What has not changed keeps its connections and tokens.
        let followed = rules.into_iter().filter_map(|rule| {
            before
                .iter()
                .find(|followed| followed.rule == rule)
                .cloned()
                .or_else(|| follow(rule).map(Arc::new))
        });
        let followed: Arc<Vec<_>> = Arc::new(followed.collect());
        *self.known.write() = Known { read: Some(Instant::now()), followed: Arc::clone(&followed) };
        Ok(followed)
    }
}

/// `None`: it cannot be followed, and the log says why.
fn follow(rule: ActiveRule) -> Option<Followed> {
    let name = rule.rule.name.clone();
    let mapping = match Mapping::parse(&rule.rule.source, &rule.rule.target) {
        Ok(mapping) => mapping,
        Err(error) => {
            tracing::error!(rule = name, %error, "a cache rule cannot be followed");
            return None;
        }
    };
    if rule.credential.as_ref().is_some_and(|found| found.host != mapping.host().to_string()) {
        tracing::error!(rule = name, "a cache rule's credential is for another host: it is not followed");
        return None;
    }
    let credentials = rule.credential.clone().map(|found| Credentials {
        username: found.username,
        secret: found.secret,
        realms: found.realms,
    });
    let reach = if rule.rule.is_private { Reach::Anywhere } else { Reach::Public };
    match Upstream::new(mapping.host().clone(), credentials, reach, Limits::default()) {
        Ok(upstream) => Some(Followed { rule, mapping, upstream }),
        Err(error) => {
            tracing::error!(rule = name, %error, "a cache rule cannot be followed");
            None
        }
    }
}

pub(super) fn filled(
    rules: &[Arc<Followed>],
    registry: RegistryId,
    repository: &Repository,
) -> Option<Arc<Filled>> {
    let found = rules.iter().filter(|followed| followed.rule.registry == registry);
    let found = found.filter_map(|followed| Some((followed, followed.mapping.elsewhere(repository)?)));
    let (followed, there) = found.max_by_key(|(followed, _)| followed.mapping.closeness())?;
    Some(Arc::new(Filled {
        rule: followed.rule.rule.name.clone(),
        source: format!("{}/{there}", followed.mapping.host()),
        place: (registry, repository.clone()),
        upstream: followed.upstream.clone(),
        there,
    }))
}

pub(super) fn standing_for(
    rules: &[Arc<Followed>],
    registry: RegistryId,
    host: &str,
    repository: &Repository,
) -> Option<Repository> {
    let found = rules.iter().filter(|followed| followed.rule.registry == registry);
    let found = found.filter_map(|followed| Some((followed, followed.mapping.here(host, repository)?)));
    found.max_by_key(|(followed, _)| followed.mapping.closeness()).map(|(_, here)| here)
}

/// How long a rule that the command line has changed may still be followed.
const FRESH: Duration = Duration::from_secs(1);
