//! Making a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use oci::Digest;
use sha2::{Digest as _, Sha256};

use super::codec::{put_details, put_record};
use super::{FeedInfo, MAGIC, VERSION};
use crate::{Details, DetailsId, Namespace, Record};

/// Gathers the records of one or more feeds, in any order.
#[derive(Clone, Debug, Default)]
pub struct SnapshotBuilder {
    feeds: BTreeMap<String, FeedInfo>,
    /// Encoded records by encoded key; a set, since the order in which they came must not matter.
    blocks: BTreeMap<Vec<u8>, BTreeSet<Box<[u8]>>>,
    details: BTreeMap<DetailsId, Box<[u8]>>,
}

impl SnapshotBuilder {
    /// A builder without any record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a feed whose records are added. A feed of the same name replaces what was said of it.
    pub fn feed(&mut self, mut info: FeedInfo) {
        info.namespaces.sort();
        info.namespaces.dedup();
        self.feeds.insert(info.name.clone(), info);
    }

    /// Takes in what there is to read about a flaw, for the records that share it.
    pub fn details(&mut self, details: &Details<'_>) -> DetailsId {
        let mut bytes = Vec::new();
        put_details(&mut bytes, details);
        let hash = Sha256::digest(&bytes);
        let mut id = [0; DetailsId::LEN];
        id.copy_from_slice(&hash[..DetailsId::LEN]);
        let id = DetailsId(id);
        self.details.entry(id).or_insert_with(|| bytes.into_boxed_slice());
        id
    }

    /// Adds a statement on a source package. Stating the same twice is stating it once.
    pub fn add(&mut self, namespace: &Namespace, package: &str, record: &Record<'_>) {
        let mut bytes = Vec::new();
        put_record(&mut bytes, record);
        self.blocks.entry(key(namespace, package)).or_default().insert(bytes.into_boxed_slice());
    }

    /// Takes in everything that another builder holds.
    pub fn merge(&mut self, other: Self) {
        self.feeds.extend(other.feeds);
        self.details.extend(other.details);
        for (key, records) in other.blocks {
            self.blocks.entry(key).or_default().extend(records);
        }
    }

    /// How many different statements were added.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.blocks.values().map(|records| records.len() as u64).sum()
    }

    /// The snapshot's bytes, and the digest that names it.
    ///
    /// # Panics
    /// Never: a header of names and numbers serialises.
    #[must_use]
    #[expect(clippy::expect_used, reason = "names and numbers always serialise")]
    pub fn finish(self) -> (Vec<u8>, Digest) {
        let header =
            serde_json::to_vec(&self.feeds.into_values().collect::<Vec<_>>()).expect("feeds serialise");
        let (mut keys, mut key_table, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        for (key, records) in self.blocks {
            put_row(&mut key_table, &(keys.len() as u64).to_le_bytes(), blocks.len());
            keys.extend_from_slice(&key);
            for record in records {
                blocks.extend_from_slice(&record);
            }
        }
        put_row(&mut key_table, &(keys.len() as u64).to_le_bytes(), blocks.len());
        let (mut details, mut details_table) = (Vec::new(), Vec::new());
        for (id, bytes) in self.details {
            put_row(&mut details_table, &id.0, details.len());
            details.extend_from_slice(&bytes);
        }
        put_row(&mut details_table, &[0xff; DetailsId::LEN], details.len());

        let sections = [header, keys, key_table, blocks, details, details_table];
        let mut snapshot =
            Vec::with_capacity(super::PREAMBLE_LEN + sections.iter().map(Vec::len).sum::<usize>());
        snapshot.extend_from_slice(MAGIC);
        snapshot.extend_from_slice(&VERSION.to_le_bytes());
        for section in &sections {
            snapshot.extend_from_slice(&(section.len() as u64).to_le_bytes());
        }
        for section in &sections {
            snapshot.extend_from_slice(section);
        }
        let id = Digest::sha256(&snapshot);
        (snapshot, id)
    }
}

/// Namespaces hold no NUL, so that no two pairs make one key.
pub(super) fn key(namespace: &Namespace, package: &str) -> Vec<u8> {
    let mut key = namespace.to_string().into_bytes();
    key.push(0);
    key.extend_from_slice(package.as_bytes());
    key
}

fn put_row(table: &mut Vec<u8>, first: &[u8], offset: usize) {
    table.extend_from_slice(first);
    table.extend_from_slice(&(offset as u64).to_le_bytes());
}
