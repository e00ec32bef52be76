//! How records and details lie in bytes: texts and counts with a varint before them, nothing aligned.

use super::InvalidSnapshot;
use crate::{Details, DetailsId, Record, Severity, Status, Unfixed};

/// Every feed's limits are far below; a text this long is damage.
const TEXT_BYTES_MAX: u64 = 16 << 20;

pub(super) fn put_record(out: &mut Vec<u8>, record: &Record<'_>) {
    put_text(out, record.id);
    put_varint(out, record.aliases.len() as u64);
    for alias in &record.aliases {
        put_text(out, alias);
    }
    match record.status {
        Status::Fixed { version } => {
            out.push(0);
            put_text(out, version);
        }
        Status::Unfixed(Unfixed::NoneYet) => out.push(1),
        Status::Unfixed(Unfixed::Deferred) => out.push(2),
        Status::Unfixed(Unfixed::WontFix) => out.push(3),
        Status::Unfixed(Unfixed::EndOfLife) => out.push(4),
        Status::NotAffected => out.push(5),
        Status::UnderInvestigation => out.push(6),
    }
    out.push(match record.severity {
        Severity::Unknown => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    });
    put_text(out, record.severity_source);
    out.push(u8::from(record.unimportant));
    put_text(out, record.feed);
    out.extend_from_slice(&record.details.0);
}

pub(super) fn put_details(out: &mut Vec<u8>, details: &Details<'_>) {
    put_text(out, details.description);
    put_varint(out, details.references.len() as u64);
    for (title, link) in &details.references {
        put_text(out, title);
        put_text(out, link);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// LEB128: seven bits a byte, lowest first.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// The records of one key. After an error it ends.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    block: Cursor<'a>,
}

impl<'a> Records<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { block: Cursor { rest: block } }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, InvalidSnapshot>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.block.rest.is_empty() {
            return None;
        }
        let record = self.block.record().ok_or(InvalidSnapshot::damaged("a record does not read"));
        if record.is_err() {
            self.block.rest = &[];
        }
        Some(record)
    }
}

pub(super) fn read_details(bytes: &[u8]) -> Result<Details<'_>, InvalidSnapshot> {
    Cursor { rest: bytes }.details().ok_or(InvalidSnapshot::damaged("the details of a record do not read"))
}

/// Reads what the `put_*` functions wrote; `None` for anything else. Allocates only in proportion to
/// the bytes that are there.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn record(&mut self) -> Option<Record<'a>> {
        let id = self.text()?;
        let mut aliases = Vec::new();
        for _ in 0..self.count()? {
            aliases.push(self.text()?);
        }
        let status = match self.byte()? {
            0 => Status::Fixed { version: self.text()? },
            1 => Status::Unfixed(Unfixed::NoneYet),
            2 => Status::Unfixed(Unfixed::Deferred),
            3 => Status::Unfixed(Unfixed::WontFix),
            4 => Status::Unfixed(Unfixed::EndOfLife),
            5 => Status::NotAffected,
            6 => Status::UnderInvestigation,
            _ => return None,
        };
        let severity = match self.byte()? {
            0 => Severity::Unknown,
            1 => Severity::Low,
            2 => Severity::Medium,
            3 => Severity::High,
            4 => Severity::Critical,
            _ => return None,
        };
        let severity_source = self.text()?;
        let unimportant = match self.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let feed = self.text()?;
        let details = DetailsId(self.take(DetailsId::LEN)?.try_into().ok()?);
        Some(Record { id, aliases, status, severity, severity_source, unimportant, feed, details })
    }

    fn details(&mut self) -> Option<Details<'a>> {
        let description = self.text()?;
        let mut references = Vec::new();
        for _ in 0..self.count()? {
            references.push((self.text()?, self.text()?));
        }
        Some(Details { description, references })
    }

    /// A count of things that take at least a byte each.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.varint()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.varint().filter(|len| *len <= TEXT_BYTES_MAX)?;
        std::str::from_utf8(self.take(usize::try_from(len).ok()?)?).ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}
