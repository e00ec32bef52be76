//! Which registry a host names.
//!
//! `NAME.DOMAIN` names the registry NAME, and one that does not exist is an error: what was meant for
//! a deleted or mistyped registry must not land in another. Every other host goes to the default
//! registry, so that `localhost:5000/app/web:1` simply works.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use auth::Home;
use metastore::Metastore;
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::error::ApiError;

/// The registries that are served, kept in memory. Clones share it.
#[derive(Clone)]
pub struct Directory {
    metastore: Metastore,
    /// In lower case, with a dot before it.
    suffix: Arc<str>,
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    /// By name, in lower case.
    by_name: HashMap<String, Arc<Home>>,
    default: Option<Arc<Home>>,
    read: Option<Instant>,
}

impl Directory {
    /// The registries in `metastore`, each served at `NAME.DOMAIN`.
    #[must_use]
    pub fn new(metastore: Metastore, domain: &str) -> Self {
        let suffix = format!(".{}", domain.to_ascii_lowercase()).into();
        Self { metastore, suffix, known: Arc::default() }
    }

    /// The registry that a host (with or without a port) names.
    ///
    /// # Errors
    /// 404 if it names one that is not there.
    pub(crate) async fn served(&self, host: &str) -> Result<Arc<Home>, ApiError> {
        let name = self.name(host);
        if let Some(found) = self.known.read().find(name.as_deref()) {
            return Ok(found);
        }
        let registries = self.metastore.registries().await?;
        let disabled = self.metastore.subscriptions().await?.into_iter().filter(|found| found.is_disabled);
        let disabled: Vec<_> = disabled.map(|found| found.id).collect();
        let mut fresh = Known { read: Some(Instant::now()), ..Known::default() };
        for registry in registries {
            let name = registry.name.to_ascii_lowercase();
            let home = {
                let is_read_only = disabled.contains(&registry.subscription);
                Arc::new(Home::of(registry, is_read_only))
            };
            fresh.default.get_or_insert_with(|| Arc::clone(&home));
            fresh.by_name.insert(name, home);
        }
        let found = fresh.find(name.as_deref());
        *self.known.write() = fresh;
        found.ok_or_else(|| {
            let name = name.unwrap_or_default();
            ApiError::not_found("NAME_UNKNOWN", format!("there is no registry {name:?} here"))
        })
    }

    /// The name in `NAME.DOMAIN`, in lower case; `None`: the host is of another form.
    fn name(&self, host: &str) -> Option<String> {
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => host,
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let name = host.strip_suffix(&*self.suffix)?;
        Some(name.to_owned()).filter(|name| !name.is_empty() && !name.contains('.'))
    }
}

impl Known {
    /// What is remembered, if it is fresh. Another process may make and delete registries.
    fn find(&self, name: Option<&str>) -> Option<Arc<Home>> {
        self.read.filter(|read| read.elapsed() < FRESH)?;
        match name {
            Some(name) => self.by_name.get(name).cloned(),
            None => self.default.clone(),
        }
    }
}

/// How long a deleted registry may still be served.
const FRESH: Duration = Duration::from_secs(1);
