//! `sort` and `top`.

use std::cmp::Ordering;

use super::{Boxed, Rows, concat, held};
use crate::column::Batch;
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::Key;
use crate::value::Value;

pub(super) struct Sort<'a> {
    input: Boxed<'a>,
    keys: &'a [Key],
    limit: Option<usize>,
    context: &'a Context<'a>,
    is_done: bool,
}

impl<'a> Sort<'a> {
    pub(super) fn new(
        input: Boxed<'a>,
        keys: &'a [Key],
        limit: Option<usize>,
        context: &'a Context<'a>,
    ) -> Self {
        Self { input, keys, limit, context, is_done: false }
    }

    /// The first rows of the batch by the order, as many as are wanted.
    fn sorted(&self, batch: &Batch) -> Batch {
        let keys = || self.keys.iter().map(|key| key.expr.eval(batch, self.context).values()).collect();
        let (columns, lent): (Vec<_>, _) = self.context.counted(keys);
        let mut rows: Vec<u32> = super::rows_of(batch).collect();
        let keys: Vec<Vec<Value>> =
            columns.iter().map(|column| (0..batch.rows).map(|row| column.get(row)).collect()).collect();
        let by_keys = |one: &u32, other: &u32| {
            for (key, values) in self.keys.iter().zip(&keys) {
                let order = ordered(key, &values[*one as usize], &values[*other as usize]);
                if order != Ordering::Equal {
                    return order;
                }
            }
            // Equal rows stay in the order in which they came.
            one.cmp(other)
        };
        if let Some(limit) = self.limit
            && limit < rows.len()
        {
            if limit > 0 {
                rows.select_nth_unstable_by(limit - 1, by_keys);
            }
            rows.truncate(limit);
        }
        rows.sort_unstable_by(by_keys);
        self.context.release(lent);
        batch.select(&rows)
    }
}

impl Rows for Sort<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        let mut batches: Vec<Batch> = Vec::new();
        let mut width = 0;
        let (mut waiting, mut bytes) = (0_usize, 0);
        while let Some(batch) = self.input.next()? {
            width = batch.columns.len();
            waiting += batch.rows;
            let more = held(&batch);
            self.context.hold(more)?;
            bytes += more;
            batches.push(batch);
            // Of a few wanted rows not all that came need to be kept.
            if let Some(limit) = self.limit
                && waiting > limit.saturating_mul(2).max(PRUNED_ROWS)
            {
                let best = self.sorted(&concat(&batches, width));
                self.context.check()?;
                waiting = best.rows;
                self.context.release(bytes);
                bytes = held(&best);
                self.context.hold(bytes)?;
                batches = vec![best];
            }
        }
        if batches.is_empty() {
            return Ok(None);
        }
        let sorted = self.sorted(&concat(&batches, width));
        self.context.check()?;
        Ok(Some(sorted))
    }
}

fn ordered(key: &Key, one: &Value, other: &Value) -> Ordering {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Real(number) => number.is_nan(),
        _ => false,
    };
    // Null and NaN stay together, null on the outside.
    let outside = |value: &Value| u8::from(!value.is_null());
    match (is_nothing(one), is_nothing(other)) {
        (true, true) => {
            let order = outside(one).cmp(&outside(other));
            if key.nulls_first { order } else { order.reverse() }
        }
        (true, false) => {
            if key.nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if key.nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) => {
            let order = one.order(other);
            if key.is_ascending { order } else { order.reverse() }
        }
    }
}

const PRUNED_ROWS: usize = 65_536;
