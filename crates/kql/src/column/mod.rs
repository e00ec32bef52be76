//! Columns and batches: how rows travel through a query.
//!
//! Most of what is asked about has few distinct values. A [`Column::Coded`] column is a code a row and a
//! [`Dictionary`] that the codes point into; what is computed from it is computed once a distinct value,
//! and only for the values that rows still point to.

pub(crate) mod blocks;
pub(crate) mod document;
pub(crate) mod foresee;
mod json_text;
pub(crate) mod stem;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::column::blocks::Blocks;
use crate::column::document::Document;
use crate::column::stem::Stemmed;
use crate::value::Value;

/// A code a row.
pub type Codes = Arc<Vec<u32>>;

/// Distinct values that codes point into, each known or still to be computed.
#[derive(Debug)]
pub struct Dictionary {
    values: Blocks<OnceLock<Value>>,
    /// Which are known, a byte a code: most looks are at rows whose value is, and need not go to the values.
    known: Vec<AtomicBool>,
}

impl Dictionary {
    /// A dictionary of known values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = Value>) -> Self {
        let values = Blocks::of(values.into_iter().map(OnceLock::from));
        Self { known: bytes(values.len(), true), values }
    }

    /// One of as many values, none of them known yet.
    #[must_use]
    pub fn unknown(len: usize) -> Self {
        Self { values: Blocks::of(std::iter::repeat_with(OnceLock::new).take(len)), known: bytes(len, false) }
    }

    /// The same values with room for more codes, up to `len`.
    #[must_use]
    pub(crate) fn grown(&self, len: usize) -> Self {
        let more = len.saturating_sub(self.values.len());
        let values = self.values.with(std::iter::repeat_with(OnceLock::new).take(more));
        let known = values.iter().map(|value| value.get().is_some().into()).collect();
        Self { values, known }
    }

    /// How many codes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if it has no codes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a code; null if it was never computed, which whoever made the column rules out.
    #[must_use]
    pub fn get(&self, code: u32) -> &Value {
        self.values.get(code as usize).and_then(OnceLock::get).unwrap_or(&Value::Null)
    }

    /// Computes the value of each of these rows' codes that is not known, for the first row that has it.
    pub fn fill(&self, codes: &[u32], mut value: impl FnMut(usize, u32) -> Value) {
        for (row, code) in codes.iter().enumerate() {
            if self.known.get(*code as usize).is_some_and(|known| !known.load(Ordering::Acquire)) {
                self.set(*code, value(row, *code));
            }
        }
    }

    /// Sets the value of a code, unless it is known.
    pub fn set(&self, code: u32, value: Value) {
        if let (Some(slot), Some(known)) = (self.values.get(code as usize), self.known.get(code as usize)) {
            slot.get_or_init(|| value);
            known.store(true, Ordering::Release);
        }
    }

    /// True if the value of this code is known.
    #[must_use]
    pub fn knows(&self, code: u32) -> bool {
        self.known.get(code as usize).is_some_and(|known| known.load(Ordering::Acquire))
    }
}

fn bytes(len: usize, known: bool) -> Vec<AtomicBool> {
    std::iter::repeat_with(|| AtomicBool::new(known)).take(len).collect()
}

/// The values of one column in a batch of rows.
#[derive(Clone, Debug)]
pub enum Column {
    /// The same in each row.
    Const(Value),
    /// One a row.
    Plain(Arc<Vec<Value>>),
    /// One of a few: every code in `codes` is known to the dictionary.
    Coded {
        /// Which, a row.
        codes: Codes,
        /// The few.
        values: Arc<Dictionary>,
    },
    /// JSON documents that are still text.
    Document(Document),
    /// Texts of few beginnings, each with an end of its own.
    Stemmed(Stemmed),
}

impl Column {
    /// A column of these values.
    #[must_use]
    pub fn plain(values: Vec<Value>) -> Self {
        Self::Plain(Arc::new(values))
    }

    /// The value in a row. Documents are parsed for it: ask [`Column::values`] first if there are many.
    #[must_use]
    pub fn get(&self, row: usize) -> Value {
        match self {
            Self::Const(value) => value.clone(),
            Self::Plain(values) => values.get(row).cloned().unwrap_or(Value::Null),
            Self::Coded { codes, values } => {
                codes.get(row).map_or(Value::Null, |code| values.get(*code).clone())
            }
            Self::Document(document) => document.get(row),
            Self::Stemmed(texts) => Value::text(texts.text(row)),
        }
    }

    /// The same column with documents parsed as far as the rows need it, and texts written out.
    #[must_use]
    pub fn values(&self) -> Self {
        match self {
            Self::Document(document) => document.values(),
            Self::Stemmed(texts) => texts.values(),
            other => other.clone(),
        }
    }

    /// The rows at these positions, in this order.
    #[must_use]
    pub fn select(&self, rows: &[u32], gathered: &mut Gathered) -> Self {
        match self {
            Self::Const(value) => Self::Const(value.clone()),
            Self::Plain(values) => Self::plain(
                rows.iter().map(|row| values.get(*row as usize).cloned().unwrap_or(Value::Null)).collect(),
            ),
            Self::Coded { codes, values } => {
                Self::Coded { codes: gathered.select(codes, rows), values: Arc::clone(values) }
            }
            Self::Document(document) => Self::Document(document.select(rows, gathered)),
            Self::Stemmed(texts) => Self::Stemmed(texts.select(rows, gathered)),
        }
    }
}

/// The codes that one selection has gathered already: columns of one dictionary share their codes, before
/// and after.
#[derive(Debug, Default)]
pub struct Gathered {
    known: Vec<(Codes, Codes)>,
    tails: Vec<(Tails, Tails)>,
}

type Tails = Arc<Vec<Uuid>>;

impl Gathered {
    /// The codes of these rows.
    pub(crate) fn select(&mut self, codes: &Codes, rows: &[u32]) -> Codes {
        if let Some((_, found)) = self.known.iter().find(|(from, _)| Arc::ptr_eq(from, codes)) {
            return Arc::clone(found);
        }
        let found: Codes =
            Arc::new(rows.iter().map(|row| codes.get(*row as usize).copied().unwrap_or(0)).collect());
        self.known.push((Arc::clone(codes), Arc::clone(&found)));
        found
    }

    /// The ends of texts in these rows.
    pub(crate) fn select_tails(&mut self, tails: &Tails, rows: &[u32]) -> Tails {
        if let Some((_, found)) = self.tails.iter().find(|(from, _)| Arc::ptr_eq(from, tails)) {
            return Arc::clone(found);
        }
        let found = rows.iter().map(|row| tails.get(*row as usize).copied().unwrap_or_default());
        let found: Tails = Arc::new(found.collect());
        self.tails.push((Arc::clone(tails), Arc::clone(&found)));
        found
    }
}

/// Some rows.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// How many.
    pub rows: usize,
    /// Their columns, each of that many rows.
    pub columns: Vec<Column>,
}

impl Batch {
    /// The rows at these positions, in this order.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let mut gathered = Gathered::default();
        let columns = self.columns.iter().map(|column| column.select(rows, &mut gathered)).collect();
        Self { rows: rows.len(), columns }
    }

    /// The values of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> Vec<Value> {
        self.columns.iter().map(|column| column.get(row)).collect()
    }
}
