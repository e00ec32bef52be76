//! Columns of texts that have few beginnings and end with a UUID each, as resource ids do.
//!
//! Every row's text is its own, but most of what is asked about it (which registry, which assessment) stands
//! in its beginning, the stem. What a stem decides, whatever UUID follows, is computed once a stem instead of
//! once a row: see [`foresee`](super::foresee) for how that is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use crate::column::blocks::Blocks;
use crate::column::{Codes, Column, Gathered};
use crate::value::Value;

use super::foresee::{Foresight, Seen};
pub(crate) use super::foresee::{contains, ends_in_stem, equals, nth_part, starts_with};

/// How texts begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stem {
    /// The beginning.
    pub text: Arc<str>,
    /// A UUID follows, in lower case with hyphens; else this is the whole.
    pub has_tail: bool,
}

/// Distinct stems, with what was decided of them.
#[derive(Debug, Default)]
pub struct Stems {
    stems: Blocks<Stem>,
    /// What regular expressions come to: a group of a pattern, by stem.
    foreseen: Mutex<HashMap<Asked, Arc<Foreseen>>>,
    lowered: OnceLock<Option<Arc<Stems>>>,
}

/// A pattern, and which of its groups.
type Asked = (Arc<str>, usize);

/// Where a group of a pattern is in the texts of each stem, as far as somebody asked.
#[derive(Debug)]
pub(crate) struct Foreseen {
    foresight: Foresight,
    group: usize,
    /// `None` where what follows has a say.
    found: Vec<OnceLock<Option<Seen>>>,
}

impl Foreseen {
    /// Where it is in all texts of this stem; `None` if that depends on what follows.
    pub(crate) fn at(&self, code: u32, stem: &Stem) -> Option<Seen> {
        *self.found.get(code as usize)?.get_or_init(|| self.foresight.find(stem, self.group))
    }
}

impl Stems {
    /// These stems.
    #[must_use]
    pub fn new(stems: Vec<Stem>) -> Self {
        Self::of(Blocks::of(stems))
    }

    fn of(stems: Blocks<Stem>) -> Self {
        Self { stems, foreseen: Mutex::default(), lowered: OnceLock::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stems.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stems.is_empty()
    }

    /// The stem of a code.
    #[must_use]
    pub fn get(&self, code: u32) -> Option<&Stem> {
        self.stems.get(code as usize)
    }

    /// These stems and more behind them.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Stem>) -> Self {
        Self::of(self.stems.with(more))
    }

    /// The same stems in lower case; `None` if there is more to that than single letters.
    pub(crate) fn lowered(&self) -> Option<&Arc<Self>> {
        let lowered = || {
            let lower = |stem: &Stem| Stem {
                text: Arc::from(stem.text.to_ascii_lowercase()),
                has_tail: stem.has_tail,
            };
            let is_plain = self.stems.iter().all(|stem| stem.text.is_ascii());
            is_plain.then(|| Arc::new(Self::new(self.stems.iter().map(lower).collect())))
        };
        self.lowered.get_or_init(lowered).as_ref()
    }

    /// Where the group of the pattern is; `None` if the pattern is none, or too large.
    pub(crate) fn foreseen(&self, pattern: &str, group: usize) -> Option<Arc<Foreseen>> {
        let asked = (Arc::from(pattern), group);
        // A cache: a panic elsewhere cannot have left it half done.
        let mut known = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&asked) {
            return Some(Arc::clone(known));
        }
        let foresight = Foresight::of(pattern)?;
        let found = std::iter::repeat_with(OnceLock::new).take(self.stems.len()).collect();
        let foreseen = Arc::new(Foreseen { foresight, group, found });
        if known.len() >= PATTERNS_MAX || (known.len() + 1) * self.stems.len() > FOUND_MAX {
            known.clear();
        }
        known.insert(asked, Arc::clone(&foreseen));
        Some(foreseen)
    }
}

/// Texts of these stems.
#[derive(Clone, Debug)]
pub struct Stemmed {
    /// Which stem, a row.
    pub codes: Codes,
    /// What the codes point into.
    pub stems: Arc<Stems>,
    /// What follows, a row; of no meaning where the stem is the whole.
    pub tails: Arc<Vec<Uuid>>,
}

impl Stemmed {
    /// The text of a row.
    #[must_use]
    pub fn text(&self, row: usize) -> String {
        let mut text = String::new();
        self.write(row, &mut text, false);
        text
    }

    /// Writes the text of a row; where it begins as the one that stands there, only its end.
    pub(crate) fn write(&self, row: usize, into: &mut String, is_same_stem: bool) {
        let Some(stem) = self.codes.get(row).and_then(|code| self.stems.get(*code)) else {
            into.clear();
            return;
        };
        if is_same_stem {
            into.truncate(stem.text.len());
        } else {
            into.clear();
            into.push_str(&stem.text);
        }
        if let (true, Some(tail)) = (stem.has_tail, self.tails.get(row)) {
            into.push_str(tail.hyphenated().encode_lower(&mut [0; TAIL_BYTES]));
        }
    }

    /// The texts, written out.
    pub(crate) fn values(&self) -> Column {
        Column::plain((0..self.codes.len()).map(|row| Value::text(self.text(row))).collect())
    }

    /// The rows at these positions, in this order.
    pub(crate) fn select(&self, rows: &[u32], gathered: &mut Gathered) -> Self {
        Self {
            codes: gathered.select(&self.codes, rows),
            stems: Arc::clone(&self.stems),
            tails: gathered.select_tails(&self.tails, rows),
        }
    }
}

/// How long a UUID's text is.
pub(super) const TAIL_BYTES: usize = 36;
/// Patterns whose outcome is kept. A dashboard asks for a few.
const PATTERNS_MAX: usize = 32;
/// And how much of it: some 30 MB.
const FOUND_MAX: usize = 1_000_000;
