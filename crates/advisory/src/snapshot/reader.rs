//! Reading a snapshot.

use std::ops::Range;

use oci::Digest;

use super::codec::{Records, read_details};
use super::{
    DETAILS_ROW_LEN, FeedInfo, HEADER_BYTES_MAX, InvalidSnapshot, KEY_ROW_LEN, MAGIC, PREAMBLE_LEN, SECTIONS,
    VERSION,
};
use crate::{Details, DetailsId, Namespace, Vendor};

/// One state of all advisory data, over bytes that somebody else holds (a memory map, a vector).
#[derive(Debug)]
pub struct Snapshot<D> {
    data: D,
    id: Digest,
    feeds: Vec<FeedInfo>,
    keys: Range<usize>,
    key_table: Range<usize>,
    blocks: Range<usize>,
    details: Range<usize>,
    details_table: Range<usize>,
}

/// What a snapshot knows of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The feeds that speak of it; never empty.
    pub feeds: Vec<&'a FeedInfo>,
    /// The vendor's package repositories of which no feed speaks: packages from there go unjudged.
    pub missing: Vec<&'static str>,
}

impl<D: AsRef<[u8]>> Snapshot<D> {
    /// Opens the snapshot that is called `id`. Reads the header only: [`Snapshot::verify`] tells
    /// whether the bytes are really those.
    ///
    /// # Errors
    /// [`InvalidSnapshot`] if the header is not one, or the sections do not fill the bytes exactly.
    pub fn open(data: D, id: Digest) -> Result<Self, InvalidSnapshot> {
        let bytes = data.as_ref();
        let preamble = bytes.get(..PREAMBLE_LEN).ok_or(InvalidSnapshot::NotASnapshot)?;
        let rest = preamble.strip_prefix(MAGIC).ok_or(InvalidSnapshot::NotASnapshot)?;
        let (version, lengths) = rest.split_first_chunk().ok_or(InvalidSnapshot::NotASnapshot)?;
        match u32::from_le_bytes(*version) {
            VERSION => {}
            found => return Err(InvalidSnapshot::OtherVersion { found }),
        }
        let mut sections: [Range<usize>; SECTIONS] = Default::default();
        let mut start = PREAMBLE_LEN;
        for (section, len) in sections.iter_mut().zip(lengths.chunks_exact(8)) {
            let len = u64_at(len, 0).and_then(|len| usize::try_from(len).ok());
            let end = len.and_then(|len| start.checked_add(len)).filter(|end| *end <= bytes.len());
            *section = start..end.ok_or(InvalidSnapshot::damaged("a section ends beyond the file"))?;
            start = section.end;
        }
        let [header, keys, key_table, blocks, details, details_table] = sections;
        if start != bytes.len() {
            return Err(InvalidSnapshot::damaged("bytes follow the last section"));
        }
        let is_table =
            |table: &Range<usize>, row: usize| !table.is_empty() && table.len().is_multiple_of(row);
        if !is_table(&key_table, KEY_ROW_LEN) || !is_table(&details_table, DETAILS_ROW_LEN) {
            return Err(InvalidSnapshot::damaged("a table is not made of rows"));
        }
        if header.len() > HEADER_BYTES_MAX {
            return Err(InvalidSnapshot::damaged("the header is too long"));
        }
        let feeds = serde_json::from_slice(&bytes[header])
            .map_err(|_| InvalidSnapshot::damaged("the header cannot be read"))?;
        Ok(Self { data, id, feeds, keys, key_table, blocks, details, details_table })
    }

    /// The digest of all its bytes, as its opener says.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// Reads every byte, and tells whether they are those that [`Snapshot::id`] names.
    #[must_use]
    pub fn verify(&self) -> bool {
        Digest::of(self.id.algorithm(), self.data.as_ref()) == self.id
    }

    /// The feeds it was made of, by name.
    #[must_use]
    pub fn feeds(&self) -> &[FeedInfo] {
        &self.feeds
    }

    /// What it knows of a namespace; `None` if nothing.
    #[must_use]
    pub fn covers(&self, namespace: &Namespace) -> Option<Coverage<'_>> {
        let feeds: Vec<_> = self.feeds.iter().filter(|feed| feed.namespaces.contains(namespace)).collect();
        let lacks =
            |repository: &&str| !feeds.iter().any(|feed| feed.repository.as_deref() == Some(*repository));
        let missing = repositories(namespace).iter().copied().filter(lacks).collect();
        (!feeds.is_empty()).then_some(Coverage { feeds, missing })
    }

    /// All that is said of a source package; nothing if it is not mentioned.
    ///
    /// # Errors
    /// [`InvalidSnapshot::Damaged`] if the index is; damage in the records shows while reading them.
    pub fn lookup(&self, namespace: &Namespace, package: &str) -> Result<Records<'_>, InvalidSnapshot> {
        let wanted = super::builder::key(namespace, package);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle)?.cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Records::new(self.block(middle)?)),
            }
        }
        Ok(Records::new(&[]))
    }

    /// What there is to read about a record.
    ///
    /// # Errors
    /// [`InvalidSnapshot::Damaged`] if it is not there or does not read.
    pub fn details(&self, id: DetailsId) -> Result<Details<'_>, InvalidSnapshot> {
        const MISSING: InvalidSnapshot = InvalidSnapshot::damaged("the details of a record are missing");
        let table = self.section(&self.details_table);
        let row = |index: usize| table.get(index * DETAILS_ROW_LEN..(index + 1) * DETAILS_ROW_LEN);
        let (mut low, mut high) = (0, (table.len() / DETAILS_ROW_LEN).saturating_sub(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let found = row(middle).ok_or(MISSING)?;
            match found[..DetailsId::LEN].cmp(&id.0) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let start = u64_at(found, DetailsId::LEN);
                    let end = row(middle + 1).and_then(|next| u64_at(next, DetailsId::LEN));
                    let bytes = slice(self.section(&self.details), start, end).ok_or(MISSING)?;
                    return read_details(bytes);
                }
            }
        }
        Err(MISSING)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        (self.key_table.len() / KEY_ROW_LEN).saturating_sub(1)
    }

    pub(super) fn key(&self, index: usize) -> Result<&[u8], InvalidSnapshot> {
        self.between_rows(&self.keys, index, 0).ok_or(InvalidSnapshot::damaged("a key is out of bounds"))
    }

    pub(super) fn block(&self, index: usize) -> Result<&[u8], InvalidSnapshot> {
        self.between_rows(&self.blocks, index, 8).ok_or(InvalidSnapshot::damaged("a block is out of bounds"))
    }

    /// What lies in a section between the offsets that two neighbouring rows of the key table hold.
    fn between_rows(&self, section: &Range<usize>, index: usize, column: usize) -> Option<&[u8]> {
        let table = self.section(&self.key_table);
        let start = u64_at(table, index * KEY_ROW_LEN + column);
        let end = u64_at(table, (index + 1) * KEY_ROW_LEN + column);
        slice(self.section(section), start, end)
    }

    /// Sections were checked when the snapshot was opened; should the bytes have shrunk since, they are
    /// empty.
    fn section(&self, section: &Range<usize>) -> &[u8] {
        self.data.as_ref().get(section.clone()).unwrap_or_default()
    }
}

/// The package repositories that a release is made of, where its vendor publishes one file for each.
fn repositories(namespace: &Namespace) -> &'static [&'static str] {
    match namespace.vendor() {
        Vendor::Debian => &[],
        // `community` began with 3.3.
        Vendor::Alpine if matches!(namespace.release(), "v3.0" | "v3.1" | "v3.2") => &["main"],
        Vendor::Alpine => &["main", "community"],
    }
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

fn slice(section: &[u8], start: Option<u64>, end: Option<u64>) -> Option<&[u8]> {
    section.get(usize::try_from(start?).ok()?..usize::try_from(end?).ok()?)
}
