//! `summarize`, `distinct` and `count`.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::key::Groups;
use super::{Boxed, Rows, column};
use crate::aggregate::{Kind, State};
use crate::bind::constants;
use crate::column::{Batch, Codes, Column, Dictionary};
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::{AggregateCall, Bound};
use crate::value::Value;

pub(super) struct Summarize<'a> {
    input: Boxed<'a>,
    keys: &'a [Bound],
    calls: &'a [AggregateCall],
    width: usize,
    context: &'a Context<'a>,
    is_done: bool,
}

impl<'a> Summarize<'a> {
    pub(super) fn new(
        input: Boxed<'a>,
        keys: &'a [Bound],
        calls: &'a [AggregateCall],
        width: usize,
        context: &'a Context<'a>,
    ) -> Self {
        Self { input, keys, calls, width, context, is_done: false }
    }
}

impl Rows for Summarize<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        let mut groups = Groups::new(self.keys.len());
        let mut states: Vec<Vec<State>> = self.calls.iter().map(|_| Vec::new()).collect();
        let mut met: Vec<Met> = self.calls.iter().map(|_| Met::default()).collect();
        while let Some(batch) = self.input.next()? {
            let keys = || self.keys.iter().map(|key| key.eval(&batch, self.context).values()).collect();
            let (keys, lent): (Vec<Column>, _) = self.context.counted(keys);
            self.context.check()?;
            let before = groups.len();
            let (of_row, bytes) = groups.of(&keys, batch.rows);
            self.context.hold(bytes + 96 * (groups.len() - before) * self.calls.len())?;
            for ((call, states), met) in self.calls.iter().zip(&mut states).zip(&mut met) {
                states.resize_with(groups.len(), || call.aggregate.begin());
                let add = || add(call, states, &of_row, &batch, met, self.context);
                let (bytes, lent) = self.context.counted(add);
                self.context.check()?;
                self.context.release(lent);
                self.context.hold(bytes)?;
            }
            self.context.release(lent);
            self.context.check()?;
        }
        for (call, states) in self.calls.iter().zip(&mut states) {
            states.resize_with(groups.len(), || call.aggregate.begin());
        }
        let rows = groups.len();
        let mut columns = groups.columns();
        let mut made: Vec<Vec<Value>> = Vec::new();
        made.resize_with(self.width.saturating_sub(columns.len()), || Vec::with_capacity(rows));
        let mut at = 0;
        for (call, states) in self.calls.iter().zip(states) {
            let types = call.types();
            let constants = constants(call);
            for state in states {
                for (offset, value) in
                    call.aggregate.finish(state, &types, &constants).into_iter().enumerate()
                {
                    if let Some(column) = made.get_mut(at + offset) {
                        column.push(value);
                    }
                }
            }
            at += types.len();
        }
        columns.extend(made.into_iter().map(column));
        Ok(Some(Batch { rows, columns }))
    }
}

/// Takes the rows of a batch into account; the answer is how many bytes more are held.
fn add(
    call: &AggregateCall,
    states: &mut [State],
    of_row: &[u32],
    batch: &Batch,
    met: &mut Met,
    context: &Context<'_>,
) -> usize {
    let columns: Vec<Column> = call.arguments.iter().map(|it| it.eval(batch, context).values()).collect();
    if call.aggregate.kind == Kind::Count {
        let condition = if call.aggregate.has_condition { columns.last() } else { None };
        count(states, of_row, condition);
        return 0;
    }
    let codes = if call.aggregate.kind.is_idempotent() { met.codes(&columns) } else { None };
    let mut bytes = 0;
    let mut arguments: Vec<Value> = Vec::with_capacity(columns.len());
    for (row, group) in of_row.iter().enumerate() {
        if let Some(codes) = &codes {
            match met.is_new(*group, codes[row]) {
                Some(more) => bytes += more,
                None => continue,
            }
        }
        arguments.clear();
        arguments.extend(columns.iter().map(|column| column.get(row)));
        if let Some(state) = states.get_mut(*group as usize) {
            bytes += call.aggregate.add(state, &arguments);
        }
    }
    bytes
}

/// Counts rows, or those of which the condition is true.
fn count(states: &mut [State], of_row: &[u32], condition: Option<&Column>) {
    let is_true = |value: &Value| value.as_bool() == Some(true);
    let mut one = |group: u32| {
        if let Some(State::Count(count)) = states.get_mut(group as usize) {
            *count += 1;
        }
    };
    match condition {
        None => of_row.iter().for_each(|group| one(*group)),
        Some(Column::Coded { codes, values }) => {
            let rows = of_row.iter().zip(codes.iter());
            rows.filter(|(_, code)| is_true(values.get(**code))).for_each(|(group, _)| one(*group));
        }
        Some(column) => {
            let rows = of_row.iter().enumerate();
            rows.filter(|(row, _)| is_true(&column.get(*row))).for_each(|(_, group)| one(*group));
        }
    }
}

/// What each group has met already, where meeting it again changes nothing.
#[derive(Default)]
struct Met {
    dictionary: Option<Arc<Dictionary>>,
    pairs: HashSet<u64, RandomState>,
    /// How many were asked about.
    asked: usize,
    /// Most were new: to remember them is all cost.
    is_useless: bool,
}

impl Met {
    /// The codes of the one column that is no constant, if its values are codes of the same dictionary as ever.
    fn codes(&mut self, columns: &[Column]) -> Option<Codes> {
        if self.pairs.len() > MET_MIN && self.pairs.len() > self.asked / 2 {
            *self = Self { is_useless: true, ..Self::default() };
        }
        if self.is_useless {
            return None;
        }
        let mut varying = columns.iter().filter(|column| !matches!(column, Column::Const(_)));
        let (Some(Column::Coded { codes, values }), None) = (varying.next(), varying.next()) else {
            return None;
        };
        if !self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, values)) {
            self.pairs.clear();
            self.dictionary = Some(Arc::clone(values));
        }
        Some(Arc::clone(codes))
    }

    /// How many bytes it takes to remember this pair; `None` if it is known.
    fn is_new(&mut self, group: u32, code: u32) -> Option<usize> {
        self.asked += 1;
        self.pairs.insert(u64::from(group) << 32 | u64::from(code)).then_some(16)
    }
}

/// So many pairs show whether most are new.
const MET_MIN: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_remembered_as_long_as_they_come_again() {
        let len = u32::try_from(2 * MET_MIN).unwrap();
        let values = Arc::new(Dictionary::of((0..len).map(|number| Value::Long(number.into()))));
        let columns = [Column::Coded { codes: Arc::new(Vec::new()), values }];
        let (mut again, mut new) = (Met::default(), Met::default());
        assert!(again.codes(&columns).is_some() && new.codes(&columns).is_some());
        for code in 0..len {
            let firsts = [again.is_new(0, code), new.is_new(0, code)];
            assert!(firsts.iter().all(Option::is_some));
            assert!((0..2).all(|_| again.is_new(0, code).is_none()), "met");
        }
        assert!(again.codes(&columns).is_some());
        assert!(new.codes(&columns).is_none() && new.codes(&columns).is_none(), "for good");
    }
}
