//! `mv-expand` and `mv-apply`.

use std::sync::Arc;

use super::{BATCH_ROWS, Boxed, Rows, concat, held, open};
use crate::column::{Batch, Column};
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::{Expansion, Plan, Side};
use crate::value::{Type, Value};

/// The rows that values are taken apart into: which row each comes from, and the new columns.
struct Apart {
    from: Vec<u32>,
    /// The element of each item, a row.
    elements: Vec<Vec<Value>>,
    positions: Vec<Value>,
}

impl Expansion {
    /// Takes apart the values of the batch's rows from `begin` on, until there are enough; the answer is
    /// where to go on.
    fn apart(&self, values: &[Column], begin: (usize, usize), rows: usize) -> (Apart, (usize, usize)) {
        let mut apart =
            Apart { from: Vec::new(), elements: vec![Vec::new(); self.items.len()], positions: Vec::new() };
        let (mut row, mut skip) = begin;
        while row < rows && apart.from.len() < BATCH_ROWS {
            let of_row: Vec<Value> = values.iter().map(|column| column.get(row)).collect();
            let count = of_row.iter().map(elements_of).max().unwrap_or(0).min(self.limit);
            let end = count.min(skip + BATCH_ROWS - apart.from.len());
            for at in skip..end {
                apart.from.push(u32::try_from(row).unwrap_or(u32::MAX));
                for ((item, value), column) in self.items.iter().zip(&of_row).zip(&mut apart.elements) {
                    let element = element_of(value, at, self.as_pairs);
                    column.push(item.kind.map_or(element.clone(), |kind| cast(element, kind)));
                }
                apart.positions.push(Value::Long(i64::try_from(at).unwrap_or(i64::MAX)));
            }
            if end < count {
                skip = end;
            } else {
                row += 1;
                skip = 0;
            }
        }
        (apart, (row, skip))
    }

    /// The rows as a batch.
    fn batch(&self, input: &Batch, apart: Apart) -> Batch {
        let mut columns = input.select(&apart.from).columns;
        columns.resize(self.width, Column::Const(Value::Null));
        for (item, values) in self.items.iter().zip(apart.elements) {
            columns[item.into] = Column::plain(values);
        }
        if let Some(index) = self.index {
            columns[index] = Column::plain(apart.positions);
        }
        Batch { rows: apart.from.len(), columns }
    }
}

/// How many rows a value makes: null one, an empty array none.
fn elements_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 1,
    }
}

fn element_of(value: &Value, at: usize, as_pair: bool) -> Value {
    match value {
        Value::Array(items) => items.get(at).cloned().unwrap_or(Value::Null),
        Value::Object(members) => match members.get(at) {
            Some((name, value)) if as_pair => {
                Value::array(vec![Value::String(Arc::clone(name)), value.clone()])
            }
            Some(member) => Value::object(vec![member.clone()]),
            None => Value::Null,
        },
        scalar if at == 0 => scalar.clone(),
        _ => Value::Null,
    }
}

/// Of another type: nothing. Numbers pass among themselves, and what is asked for as text is written.
fn cast(value: Value, kind: Type) -> Value {
    match (kind, &value) {
        (Type::Dynamic, _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int | Type::Long, Value::Long(_))
        | (Type::DateTime, Value::DateTime(_))
        | (Type::TimeSpan, Value::TimeSpan(_)) => value,
        _ => crate::function::convert(&value, kind),
    }
}

pub(super) struct Expand<'a> {
    input: Boxed<'a>,
    expand: &'a Expansion,
    context: &'a Context<'a>,
    /// The batch under way, its values, and where to go on.
    current: Option<(Batch, Vec<Column>, (usize, usize))>,
    /// Bytes of the values under way.
    held: usize,
}

impl<'a> Expand<'a> {
    pub(super) fn new(input: Boxed<'a>, expand: &'a Expansion, context: &'a Context<'a>) -> Self {
        Self { input, expand, context, current: None, held: 0 }
    }
}

impl Rows for Expand<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        self.context.check()?;
        loop {
            let (batch, values, at) = match self.current.take() {
                Some(current) => current,
                None => {
                    self.context.release(std::mem::take(&mut self.held));
                    let Some(batch) = self.input.next()? else { return Ok(None) };
                    let evaluate = || evaluated(self.expand, &batch, self.context);
                    let (values, bytes) = self.context.counted(evaluate);
                    self.held = bytes;
                    self.context.check()?;
                    (batch, values, (0, 0))
                }
            };
            let (apart, next) = self.expand.apart(&values, at, batch.rows);
            let made = self.expand.batch(&batch, apart);
            if next.0 < batch.rows {
                self.current = Some((batch, values, next));
            }
            if made.rows > 0 {
                return Ok(Some(made));
            }
        }
    }
}

fn evaluated(expand: &Expansion, batch: &Batch, context: &Context<'_>) -> Vec<Column> {
    expand.items.iter().map(|item| item.expr.eval(batch, context).values()).collect()
}

pub(super) struct Apply<'a> {
    input: Boxed<'a>,
    expand: &'a Expansion,
    inner: &'a Plan,
    output: &'a [(Side, usize)],
    context: &'a Context<'a>,
    /// Bytes of the rows handed on last: whoever keeps them counts them.
    held: usize,
}

impl<'a> Apply<'a> {
    pub(super) fn new(
        input: Boxed<'a>,
        expand: &'a Expansion,
        inner: &'a Plan,
        output: &'a [(Side, usize)],
        context: &'a Context<'a>,
    ) -> Self {
        Self { input, expand, inner, output, context, held: 0 }
    }

    /// What one row comes to.
    fn of_row(&self, batch: &Batch, values: &[Column], row: usize) -> Result<Option<Batch>, QueryError> {
        let mut lent = Vec::new();
        let mut at = (row, 0);
        while at.0 == row {
            let (apart, next) = self.expand.apart(values, at, row + 1);
            at = next;
            let part = self.expand.batch(batch, apart);
            self.context.hold(held(&part))?;
            lent.push(part);
        }
        lent.retain(|part| part.rows > 0);
        if lent.is_empty() {
            return Ok(None);
        }
        let lent = concat(&lent, self.expand.width);
        let mut inner = open(self.inner, self.context, Some(&lent))?;
        let mut made = Vec::new();
        while let Some(part) = inner.next()? {
            self.context.check()?;
            self.context.hold(held(&part))?;
            made.push(part);
        }
        let made = concat(&made, self.inner.fields.len());
        let repeated = vec![u32::try_from(row).unwrap_or(u32::MAX); made.rows];
        let outer = batch.select(&repeated);
        let columns = self.output.iter().map(|(side, at)| match side {
            Side::Left => outer.columns[*at].clone(),
            Side::Right => made.columns[*at].clone(),
        });
        Ok(Some(Batch { rows: made.rows, columns: columns.collect() }))
    }
}

impl Rows for Apply<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        loop {
            self.context.release(std::mem::take(&mut self.held));
            let Some(batch) = self.input.next()? else { return Ok(None) };
            let (values, lent) = self.context.counted(|| evaluated(self.expand, &batch, self.context));
            let mut made = Vec::new();
            for row in 0..batch.rows {
                self.context.check()?;
                // What the inner operators count is gone with them.
                let part = self.context.within(|| self.of_row(&batch, &values, row))?;
                if let Some(part) = part.filter(|part| part.rows > 0) {
                    let bytes = held(&part);
                    self.context.hold(bytes)?;
                    self.held += bytes;
                    made.push(part);
                }
            }
            self.context.release(lent);
            if !made.is_empty() {
                let made = concat(&made, self.output.len());
                return Ok(Some(made));
            }
        }
    }
}
