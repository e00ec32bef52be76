//! `summarize`, `distinct` and `count`.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Boxed, Rows, column};
use crate::aggregate::{Kind, State};
use crate::bind::constants;
use crate::column::{Batch, Column, Dictionary};
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

/// The groups met so far.
#[derive(Default)]
struct Groups {
    by_value: HashMap<Vec<Value>, u32>,
    values: Vec<Vec<Value>>,
    /// The groups of rows by their codes, while the dictionaries stay the same.
    by_codes: HashMap<Vec<u32>, u32>,
    dictionaries: Vec<Option<Arc<Dictionary>>>,
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
        let mut groups = Groups::default();
        let mut states: Vec<Vec<State>> = self.calls.iter().map(|_| Vec::new()).collect();
        if self.keys.is_empty() {
            groups.values.push(Vec::new());
            groups.by_value.insert(Vec::new(), 0);
        }
        while let Some(batch) = self.input.next()? {
            let keys = || self.keys.iter().map(|key| key.eval(&batch, self.context).values()).collect();
            let (keys, lent): (Vec<Column>, _) = self.context.counted(keys);
            self.context.check()?;
            let before = groups.values.len();
            let of_row = groups.of(&keys, batch.rows);
            let new = &groups.values[before..];
            let bytes = new.iter().map(|values| 64 + 2 * values.iter().map(Value::size).sum::<usize>());
            self.context.hold(bytes.sum::<usize>() + 96 * new.len() * self.calls.len())?;
            for (call, states) in self.calls.iter().zip(&mut states) {
                states.resize_with(groups.values.len(), || call.aggregate.begin());
                let (bytes, lent) = self.context.counted(|| add(call, states, &of_row, &batch, self.context));
                self.context.check()?;
                self.context.release(lent);
                self.context.hold(bytes)?;
            }
            self.context.release(lent);
            self.context.check()?;
        }
        for (call, states) in self.calls.iter().zip(&mut states) {
            states.resize_with(groups.values.len(), || call.aggregate.begin());
        }
        let rows = groups.values.len();
        let mut columns: Vec<Vec<Value>> = (0..self.width).map(|_| Vec::with_capacity(rows)).collect();
        for values in groups.values {
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        let mut at = self.keys.len();
        for (call, states) in self.calls.iter().zip(states) {
            let types = call.types();
            let constants = constants(call);
            for state in states {
                for (offset, value) in
                    call.aggregate.finish(state, &types, &constants).into_iter().enumerate()
                {
                    if let Some(column) = columns.get_mut(at + offset) {
                        column.push(value);
                    }
                }
            }
            at += types.len();
        }
        Ok(Some(Batch { rows, columns: columns.into_iter().map(column).collect() }))
    }
}

/// Takes the rows of a batch into account; the answer is how many bytes more are held.
fn add(
    call: &AggregateCall,
    states: &mut [State],
    of_row: &[u32],
    batch: &Batch,
    context: &Context<'_>,
) -> usize {
    let columns: Vec<Column> = call.arguments.iter().map(|it| it.eval(batch, context).values()).collect();
    if call.aggregate.kind == Kind::Count && !call.aggregate.has_condition {
        for group in of_row {
            if let Some(State::Count(count)) = states.get_mut(*group as usize) {
                *count += 1;
            }
        }
        return 0;
    }
    let mut bytes = 0;
    let mut arguments: Vec<Value> = Vec::with_capacity(columns.len());
    for (row, group) in of_row.iter().enumerate() {
        arguments.clear();
        arguments.extend(columns.iter().map(|column| column.get(row)));
        if let Some(state) = states.get_mut(*group as usize) {
            bytes += call.aggregate.add(state, &arguments);
        }
    }
    bytes
}

impl Groups {
    /// The group of each row.
    fn of(&mut self, keys: &[Column], rows: usize) -> Vec<u32> {
        let dictionaries = keys.iter().map(|key| match key {
            Column::Coded { values, .. } => Some(Some(Arc::clone(values))),
            Column::Const(_) => Some(None),
            _ => None,
        });
        let Some(dictionaries) = dictionaries.collect::<Option<Vec<_>>>() else {
            return (0..rows).map(|row| self.group(keys, row)).collect();
        };
        let is_same = dictionaries.len() == self.dictionaries.len()
            && dictionaries.iter().zip(&self.dictionaries).all(|(one, other)| match (one, other) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                // Constants may differ from batch to batch.
                _ => false,
            });
        if !is_same {
            self.by_codes.clear();
            self.dictionaries = dictionaries;
        }
        let coded: Vec<&Vec<u32>> = keys
            .iter()
            .filter_map(|key| match key {
                Column::Coded { codes, .. } => Some(&**codes),
                _ => None,
            })
            .collect();
        let mut found = Vec::with_capacity(rows);
        let mut codes: Vec<u32> = Vec::with_capacity(coded.len());
        let mut last: Option<(Vec<u32>, u32)> = None;
        for row in 0..rows {
            codes.clear();
            codes.extend(coded.iter().map(|codes| codes[row]));
            if let Some((known, group)) = &last
                && *known == codes
            {
                found.push(*group);
                continue;
            }
            let group = match self.by_codes.get(&codes) {
                Some(group) => *group,
                None => {
                    let group = self.group(keys, row);
                    self.by_codes.insert(codes.clone(), group);
                    group
                }
            };
            last = Some((codes.clone(), group));
            found.push(group);
        }
        found
    }

    fn group(&mut self, keys: &[Column], row: usize) -> u32 {
        let values: Vec<Value> = keys.iter().map(|key| key.get(row)).collect();
        if let Some(group) = self.by_value.get(&values) {
            return *group;
        }
        let group = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.by_value.insert(values.clone(), group);
        self.values.push(values);
        group
    }
}
