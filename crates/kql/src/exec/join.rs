//! `join` and `lookup`: one side is read whole, the other goes by, batch by batch.
//!
//! Read whole is the left side, unless every row of it may come out anyhow: then it is the right side. The rows
//! come in the order of the side that goes by.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::{BATCH_ROWS, Boxed, Rows, collect};
use crate::column::{Batch, Codes, Column, Dictionary};
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::{Bound, Side};
use crate::syntax::JoinKind;
use crate::value::Value;

pub(super) struct Join<'a> {
    whole: Input<'a>,
    passing: Input<'a>,
    wants: Wants,
    /// Which columns come out: of the side read whole, or of the other.
    output: Vec<(IsWhole, usize)>,
    context: &'a Context<'a>,
    read: Option<Whole>,
    probe: Option<Probe>,
    numbered: Numbered,
}

type IsWhole = bool;

/// One side.
pub(super) struct Input<'a> {
    pub(super) rows: Boxed<'a>,
    pub(super) keys: &'a [Bound],
    /// What stands there where it has no row.
    pub(super) nothings: Vec<Value>,
}

/// What comes out.
#[derive(Clone, Copy, Default)]
struct Wants {
    /// Rows of both sides that have equal keys.
    pairs: bool,
    /// Only the first of the rows read whole that have equal keys.
    firsts: bool,
    /// Passing rows that have a partner, once.
    met: bool,
    /// Passing rows that have none.
    lonely: bool,
    /// At the end the rows read whole that found none.
    left_over: bool,
}

/// The side that is read whole, and where each key is in it.
struct Whole {
    rows: Batch,
    numbers: HashMap<Vec<Value>, u32>,
    /// Where the rows of each key begin in `by_key`; one more stands at the end.
    begins: Vec<u32>,
    by_key: Vec<u32>,
    /// The number of each row's key; [`NOBODY`] if there is a null in it.
    keys: Vec<u32>,
    /// Of each key, whether a passing row has it.
    is_met: Vec<bool>,
}

/// A batch that passes, and how far its rows have been paired.
struct Probe {
    rows: Batch,
    /// The number of each row's key; [`NOBODY`] if no row of the other side has it.
    keys: Vec<u32>,
    /// The next row, and the next of its partners.
    at: (usize, usize),
}

/// Rows of both sides that belong together; [`NOBODY`] where one side has none.
#[derive(Default)]
struct Pairs {
    whole: Vec<u32>,
    passing: Vec<u32>,
}

impl Pairs {
    fn push(&mut self, whole: u32, passing: u32) {
        self.whole.push(whole);
        self.passing.push(passing);
    }
}

impl Wants {
    /// What a join of this kind wants, and whether it is the left side that passes.
    fn of(kind: JoinKind) -> (Self, bool) {
        let nothing = Self::default();
        let pairs = Self { pairs: true, ..nothing };
        let outer = Self { lonely: true, ..pairs };
        match kind {
            JoinKind::InnerUnique => (Self { firsts: true, ..pairs }, false),
            JoinKind::Inner => (pairs, false),
            JoinKind::RightOuter => (outer, false),
            JoinKind::LeftOuter => (outer, true),
            JoinKind::FullOuter => (Self { left_over: true, ..outer }, false),
            JoinKind::RightSemi => (Self { met: true, ..nothing }, false),
            JoinKind::LeftSemi => (Self { met: true, ..nothing }, true),
            JoinKind::RightAnti => (Self { lonely: true, ..nothing }, false),
            JoinKind::LeftAnti => (Self { lonely: true, ..nothing }, true),
        }
    }
}

impl Whole {
    fn partners(&self, key: u32) -> &[u32] {
        let at = key as usize;
        match (self.begins.get(at), self.begins.get(at.wrapping_add(1))) {
            (Some(from), Some(to)) => &self.by_key[*from as usize..*to as usize],
            _ => &[],
        }
    }

    fn is_met(&self, key: u32) -> bool {
        self.is_met.get(key as usize).copied().unwrap_or(false)
    }
}

impl<'a> Join<'a> {
    pub(super) fn new(
        kind: JoinKind,
        (left, right): (Input<'a>, Input<'a>),
        output: &[(Side, usize)],
        context: &'a Context<'a>,
    ) -> Self {
        let (wants, is_left_passing) = Wants::of(kind);
        let (whole, passing) = if is_left_passing { (right, left) } else { (left, right) };
        let is_whole = |side: &Side| (*side == Side::Right) == is_left_passing;
        let output = output.iter().map(|(side, at)| (is_whole(side), *at)).collect();
        Self {
            whole,
            passing,
            wants,
            output,
            context,
            read: None,
            probe: None,
            numbered: Numbered::default(),
        }
    }

    fn read_whole(&mut self) -> Result<Whole, QueryError> {
        let mut rows = collect(&mut self.whole.rows, self.whole.nothings.len(), self.context)?;
        let mut numbers: HashMap<Vec<Value>, u32> = HashMap::new();
        let mut keys = Vec::with_capacity(rows.rows);
        let mut firsts = Vec::new();
        let columns = evaluated(self.whole.keys, &rows, self.context);
        for row in super::rows_of(&rows) {
            let number = key(&columns, row as usize).map(|key| {
                let next = position(numbers.len());
                let number = *numbers.entry(key).or_insert(next);
                if number == next {
                    firsts.push(row);
                }
                number
            });
            keys.push(number.unwrap_or(NOBODY));
        }
        self.context.hold(rows.rows * 12 + numbers.len() * 104)?;
        self.context.check()?;
        if self.wants.firsts && firsts.len() < rows.rows {
            rows = rows.select(&firsts);
            keys = (0..position(firsts.len())).collect();
        }
        let mut begins = vec![0_u32; numbers.len() + 1];
        for key in keys.iter().filter(|key| **key != NOBODY) {
            begins[*key as usize + 1] += 1;
        }
        for at in 1..begins.len() {
            begins[at] += begins[at - 1];
        }
        let mut next = begins.clone();
        let mut by_key = vec![0; begins.last().map_or(0, |len| *len as usize)];
        for (row, key) in keys.iter().enumerate().filter(|(_, key)| **key != NOBODY) {
            let place = &mut next[*key as usize];
            by_key[*place as usize] = position(row);
            *place += 1;
        }
        let is_met = vec![false; numbers.len()];
        Ok(Whole { rows: coded(rows), numbers, begins, by_key, keys, is_met })
    }

    /// The next batch that passes.
    fn read_passing(&mut self, whole: &mut Whole) -> Result<Option<Probe>, QueryError> {
        let Some(rows) = self.passing.rows.next()? else { return Ok(None) };
        self.context.check()?;
        let (columns, lent) = self.context.counted(|| evaluated(self.passing.keys, &rows, self.context));
        self.context.check()?;
        self.numbered.begin(&columns);
        let number = |row| self.numbered.number(&columns, row, &whole.numbers).unwrap_or(NOBODY);
        let keys: Vec<u32> = (0..rows.rows).map(number).collect();
        for key in &keys {
            if let Some(is_met) = whole.is_met.get_mut(*key as usize) {
                *is_met = true;
            }
        }
        self.context.release(lent);
        Ok(Some(Probe { rows, keys, at: (0, 0) }))
    }

    /// The next pairs of a batch's rows, at most about a batch of them.
    fn pairs(&self, whole: &Whole, probe: &mut Probe) -> Pairs {
        let mut pairs = Pairs::default();
        let most = BATCH_ROWS.max(probe.rows.rows);
        while pairs.passing.len() < most && probe.at.0 < probe.rows.rows {
            let (row, partner) = probe.at;
            let (passing, partners) = (position(row), whole.partners(probe.keys[row]));
            if partners.is_empty() && self.wants.lonely || !partners.is_empty() && self.wants.met {
                pairs.push(NOBODY, passing);
            } else if self.wants.pairs {
                let rest = &partners[partner..];
                let some = &rest[..rest.len().min(most - pairs.passing.len())];
                some.iter().for_each(|whole| pairs.push(*whole, passing));
                if some.len() < rest.len() {
                    probe.at = (row, partner + some.len());
                    break;
                }
            }
            probe.at = (row + 1, 0);
        }
        pairs
    }

    fn batch(&self, whole: &Batch, passing: &Batch, pairs: &Pairs) -> Batch {
        let whole = side(whole, &pairs.whole, &self.whole.nothings);
        let passing = side(passing, &pairs.passing, &self.passing.nothings);
        let columns = self.output.iter().map(|(is_whole, at)| match is_whole {
            true => whole[*at].clone(),
            false => passing[*at].clone(),
        });
        Batch { rows: pairs.whole.len(), columns: columns.collect() }
    }
}

impl Rows for Join<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        self.context.check()?;
        let mut whole = match self.read.take() {
            Some(whole) => whole,
            None => self.read_whole()?,
        };
        let mut made = None;
        while made.is_none() {
            let next = match self.probe.take() {
                Some(probe) => Some(probe),
                None => self.read_passing(&mut whole)?,
            };
            let Some(mut probe) = next else { break };
            let pairs = self.pairs(&whole, &mut probe);
            made = (!pairs.whole.is_empty()).then(|| self.batch(&whole.rows, &probe.rows, &pairs));
            self.probe = (probe.at.0 < probe.rows.rows).then_some(probe);
        }
        if made.is_none() && self.wants.left_over {
            self.wants.left_over = false;
            let keys = whole.keys.iter().enumerate();
            let rows = keys.filter(|(_, key)| !whole.is_met(**key)).map(|(row, _)| position(row));
            let rows: Vec<u32> = rows.collect();
            let pairs = Pairs { passing: vec![NOBODY; rows.len()], whole: rows };
            made = (!pairs.whole.is_empty()).then(|| self.batch(&whole.rows, &Batch::default(), &pairs));
        }
        self.read = Some(whole);
        Ok(made)
    }
}

/// The same rows, plain values behind codes: what is computed of them is computed once, however many rows of the
/// other side they meet.
fn coded(rows: Batch) -> Batch {
    let codes: Codes = Arc::new(super::rows_of(&rows).collect());
    let columns = rows.columns.into_iter().map(|column| match column {
        Column::Plain(values) => {
            let values = Arc::new(Dictionary::of(values.iter().cloned()));
            Column::Coded { codes: Arc::clone(&codes), values }
        }
        other => other,
    });
    Batch { rows: rows.rows, columns: columns.collect() }
}

/// One side's columns at these rows; nothing where there is no row.
fn side(of: &Batch, rows: &[u32], nothings: &[Value]) -> Vec<Column> {
    let there: Cow<'_, [u32]> = match rows.contains(&NOBODY) {
        true => rows.iter().copied().filter(|row| *row != NOBODY).collect(),
        false => rows.into(),
    };
    if there.is_empty() {
        return nothings.iter().map(|nothing| Column::Const(nothing.clone())).collect();
    }
    let is_all = there.len() == of.rows && there.iter().copied().eq(super::rows_of(of));
    let selected = if is_all { of.clone() } else { of.select(&there) };
    if there.len() == rows.len() {
        return selected.columns;
    }
    let spread = |(column, nothing): (&Column, &Value)| {
        let column = column.values();
        let mut next = 0;
        let values = rows.iter().map(|row| {
            if *row == NOBODY {
                return nothing.clone();
            }
            next += 1;
            column.get(next - 1)
        });
        super::column(values.collect())
    };
    selected.columns.iter().zip(nothings).map(spread).collect()
}

/// A position as it is counted here; memory ends long before the numbers do.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NOBODY)
}

const NOBODY: u32 = u32::MAX;

fn evaluated(keys: &[Bound], batch: &Batch, context: &Context<'_>) -> Vec<Column> {
    keys.iter().map(|key| key.eval(batch, context).values()).collect()
}

/// The key of a row; `None` if there is a null in it, for null equals nothing.
fn key(columns: &[Column], row: usize) -> Option<Vec<Value>> {
    let values: Vec<Value> = columns.iter().map(|column| column.get(row)).collect();
    (!values.iter().any(Value::is_null)).then_some(values)
}

/// Finds the numbers of rows' keys; of a single coded key once a code.
#[derive(Default)]
struct Numbered {
    dictionary: Option<Arc<Dictionary>>,
    by_code: Vec<Option<Option<u32>>>,
}

impl Numbered {
    /// To be called with the columns of each batch.
    fn begin(&mut self, columns: &[Column]) {
        let [Column::Coded { values, .. }] = columns else { return };
        if !self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, values)) {
            self.by_code.clear();
            self.by_code.resize(values.len(), None);
            self.dictionary = Some(Arc::clone(values));
        }
    }

    fn number(&mut self, columns: &[Column], row: usize, numbers: &HashMap<Vec<Value>, u32>) -> Option<u32> {
        let find = || key(columns, row).and_then(|key| numbers.get(&key).copied());
        match columns {
            [Column::Coded { codes, .. }] => match self.by_code.get_mut(codes[row] as usize) {
                Some(known) => *known.get_or_insert_with(find),
                None => find(),
            },
            _ => find(),
        }
    }
}
