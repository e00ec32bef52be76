//! One import while it goes on.

use std::collections::BTreeMap;

use advisory::SnapshotBuilder;
use metastore::{Feed, FeedPayload, Metastore};

use crate::FeedsError;
use crate::report::{Outcome, PayloadReport, Refusal};

/// Payloads on their way in.
pub(crate) struct Batch {
    pub(crate) known: BTreeMap<String, Feed>,
    pub(crate) accepted: BTreeMap<String, FeedPayload>,
    pub(crate) untouched: Vec<String>,
    pub(crate) statements: SnapshotBuilder,
    pub(crate) payloads: Vec<PayloadReport>,
}

impl Batch {
    pub(crate) async fn new(metastore: &Metastore) -> Result<Self, FeedsError> {
        Ok(Self {
            known: known_feeds(metastore).await?,
            accepted: BTreeMap::new(),
            untouched: Vec::new(),
            statements: SnapshotBuilder::new(),
            payloads: Vec::new(),
        })
    }

    pub(crate) fn refuse(&mut self, origin: String, feed: Option<String>, refusal: Refusal) {
        self.payloads.push(PayloadReport { origin, feed, outcome: Outcome::Refused(refusal) });
    }

    /// The source says that what is here is its newest.
    pub(crate) fn unchanged(&mut self, origin: String, feed: String) {
        self.untouched.push(feed.clone());
        self.payloads.push(PayloadReport { origin, feed: Some(feed), outcome: Outcome::Unchanged });
    }
}

pub(crate) async fn known_feeds(metastore: &Metastore) -> Result<BTreeMap<String, Feed>, FeedsError> {
    Ok(metastore.feeds().await?.into_iter().map(|feed| (feed.name.clone(), feed)).collect())
}
