//! `join` and `lookup`: the left side is read whole, the right side is kept only where a left key wants it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BATCH_ROWS, Boxed, Rows, collect, concat, held};
use crate::column::{Batch, Column, Dictionary};
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::{Bound, Side};
use crate::syntax::JoinKind;
use crate::value::Value;

pub(super) struct Join<'a> {
    kind: JoinKind,
    inputs: (Boxed<'a>, Boxed<'a>),
    keys: (&'a [Bound], &'a [Bound]),
    output: &'a [(Side, usize)],
    widths: (usize, usize),
    /// What stands where a side has no row.
    nothings: (Vec<Value>, Vec<Value>),
    context: &'a Context<'a>,
    joined: Option<Joined>,
}

/// Both sides, and how far the output has come.
struct Joined {
    left: Batch,
    right: Batch,
    /// For each left row its key's number; `None` if it has a null.
    left_keys: Vec<Option<u32>>,
    /// The right rows of each key.
    right_rows: Vec<Vec<u32>>,
    /// The next left row, and the next of its partners.
    at: (usize, usize),
    /// Right rows that found no partner, still to come.
    lonely: Vec<u32>,
}

impl<'a> Join<'a> {
    pub(super) fn new(
        kind: JoinKind,
        inputs: (Boxed<'a>, Boxed<'a>),
        keys: (&'a [Bound], &'a [Bound]),
        output: &'a [(Side, usize)],
        widths: (usize, usize),
        nothings: (Vec<Value>, Vec<Value>),
        context: &'a Context<'a>,
    ) -> Self {
        Self { kind, inputs, keys, output, widths, nothings, context, joined: None }
    }

    fn read(&mut self) -> Result<Joined, QueryError> {
        let mut left = collect(&mut self.inputs.0, self.widths.0, self.context)?;
        let mut numbers: HashMap<Vec<Value>, u32> = HashMap::new();
        let mut left_keys = Vec::with_capacity(left.rows);
        let mut unique = Vec::new();
        let columns = evaluated(self.keys.0, &left, self.context);
        for row in 0..left.rows {
            let number = key(&columns, row).map(|key| {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                let number = *numbers.entry(key).or_insert(next);
                if number == next {
                    unique.push(u32::try_from(row).unwrap_or(u32::MAX));
                }
                number
            });
            left_keys.push(number);
        }
        self.context.hold(left.rows * 8 + numbers.len() * 96)?;
        self.context.check()?;
        if self.kind == JoinKind::InnerUnique && unique.len() < left.rows {
            left = left.select(&unique);
            left_keys = (0..u32::try_from(unique.len()).unwrap_or(u32::MAX)).map(Some).collect();
        }
        let keeps_lonely =
            matches!(self.kind, JoinKind::RightOuter | JoinKind::FullOuter | JoinKind::RightAnti);
        let mut right_rows: Vec<Vec<u32>> = vec![Vec::new(); numbers.len()];
        let mut lonely = Vec::new();
        let mut parts = Vec::new();
        let mut kept_before = 0_u32;
        let mut numbered = Numbered::default();
        while let Some(batch) = self.inputs.1.next()? {
            self.context.check()?;
            let (columns, lent) = self.context.counted(|| evaluated(self.keys.1, &batch, self.context));
            self.context.check()?;
            let mut kept = Vec::new();
            numbered.begin(&columns);
            for row in super::rows_of(&batch) {
                let number = numbered.number(&columns, row as usize, &numbers);
                let position = kept_before + u32::try_from(kept.len()).unwrap_or(u32::MAX);
                match number {
                    Some(number) => right_rows[number as usize].push(position),
                    None if keeps_lonely => lonely.push(position),
                    None => continue,
                }
                kept.push(row);
            }
            self.context.release(lent);
            if kept.is_empty() {
                continue;
            }
            let part = if kept.len() == batch.rows { batch } else { batch.select(&kept) };
            self.context.hold(held(&part) + 4 * part.rows)?;
            kept_before += u32::try_from(part.rows).unwrap_or(u32::MAX);
            parts.push(part);
        }
        let right = concat(&parts, self.widths.1);
        Ok(Joined { left, right, left_keys, right_rows, at: (0, 0), lonely })
    }

    /// The next pairs of rows, at most about a batch of them.
    fn pairs(&self, joined: &mut Joined) -> Vec<(Option<u32>, Option<u32>)> {
        let mut pairs = Vec::new();
        let (wants_pairs, keeps_left) = match self.kind {
            JoinKind::InnerUnique | JoinKind::Inner | JoinKind::RightOuter => (true, false),
            JoinKind::LeftOuter | JoinKind::FullOuter => (true, true),
            _ => (false, false),
        };
        while pairs.len() < BATCH_ROWS && joined.at.0 < joined.left.rows {
            let (row, partner) = joined.at;
            let left = u32::try_from(row).ok();
            let partners: &[u32] = match joined.left_keys[row] {
                Some(number) => &joined.right_rows[number as usize],
                None => &[],
            };
            if wants_pairs {
                let rest = partners.get(partner..).unwrap_or_default();
                let count = rest.len().min(BATCH_ROWS - pairs.len());
                pairs.extend(rest.iter().take(count).map(|right| (left, Some(*right))));
                if count < rest.len() {
                    joined.at = (row, partner + count);
                    break;
                }
            }
            if partners.is_empty() && (keeps_left || self.kind == JoinKind::LeftAnti) {
                pairs.push((left, None));
            }
            if !partners.is_empty() && self.kind == JoinKind::LeftSemi {
                pairs.push((left, None));
            }
            joined.at = (row + 1, 0);
        }
        if joined.at.0 >= joined.left.rows && pairs.is_empty() {
            let lonely = std::mem::take(&mut joined.lonely);
            pairs.extend(lonely.into_iter().map(|right| (None, Some(right))));
            if self.kind == JoinKind::RightSemi {
                let mut rows: Vec<u32> =
                    std::mem::take(&mut joined.right_rows).into_iter().flatten().collect();
                rows.sort_unstable();
                pairs.extend(rows.into_iter().map(|right| (None, Some(right))));
            }
        }
        pairs
    }
}

impl Rows for Join<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        self.context.check()?;
        let mut joined = match self.joined.take() {
            Some(joined) => joined,
            None => self.read()?,
        };
        let pairs = self.pairs(&mut joined);
        if pairs.is_empty() {
            self.joined = Some(joined);
            return Ok(None);
        }
        let left = side(&joined.left, pairs.iter().map(|(left, _)| *left), &self.nothings.0);
        let right = side(&joined.right, pairs.iter().map(|(_, right)| *right), &self.nothings.1);
        let columns = self.output.iter().map(|(side, at)| match side {
            Side::Left => left[*at].clone(),
            Side::Right => right[*at].clone(),
        });
        let batch = Batch { rows: pairs.len(), columns: columns.collect() };
        self.joined = Some(joined);
        Ok(Some(batch))
    }
}

/// One side's columns at these rows; nothing where there is no row.
fn side(of: &Batch, rows: impl Iterator<Item = Option<u32>>, nothings: &[Value]) -> Vec<Column> {
    let rows: Vec<Option<u32>> = rows.collect();
    let there: Vec<u32> = rows.iter().flatten().copied().collect();
    if there.is_empty() {
        return nothings.iter().map(|nothing| Column::Const(nothing.clone())).collect();
    }
    let selected = of.select(&there);
    if there.len() == rows.len() {
        return selected.columns;
    }
    let spread = |(column, nothing): (&Column, &Value)| {
        let column = column.values();
        let mut next = 0;
        let values = rows.iter().map(|row| {
            if row.is_none() {
                return nothing.clone();
            }
            next += 1;
            column.get(next - 1)
        });
        super::column(values.collect())
    };
    selected.columns.iter().zip(nothings).map(spread).collect()
}

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
