//! `serialize`, and the functions of a row and those beside it: the rows are read whole, in their order.

use super::{Boxed, Rows, collect, column};
use crate::bind::nothing;
use crate::column::{Batch, Column};
use crate::compute::arithmetic;
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::{WindowCall, WindowKind};
use crate::syntax::Operator;
use crate::value::{Type, Value};

pub(super) struct Window<'a> {
    input: Boxed<'a>,
    calls: &'a [WindowCall],
    width: usize,
    context: &'a Context<'a>,
    is_done: bool,
}

impl<'a> Window<'a> {
    pub(super) fn new(
        input: Boxed<'a>,
        calls: &'a [WindowCall],
        width: usize,
        context: &'a Context<'a>,
    ) -> Self {
        Self { input, calls, width: width - calls.len(), context, is_done: false }
    }
}

impl Rows for Window<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        if self.calls.is_empty() {
            return self.input.next();
        }
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        let mut rows = collect(&mut self.input, self.width, self.context)?;
        for call in self.calls {
            // A call may have another among its arguments, which stands before it.
            let evaluate = || call.arguments.iter().map(|it| it.eval(&rows, self.context).values()).collect();
            let (arguments, lent): (Vec<Column>, _) = self.context.counted(evaluate);
            self.context.check()?;
            let values = of_rows(call, &arguments, rows.rows);
            self.context.hold(values.iter().map(|it| size_of::<Value>() + it.size()).sum())?;
            self.context.release(lent);
            rows.columns.push(column(values));
        }
        Ok(Some(rows))
    }
}

fn of_rows(call: &WindowCall, arguments: &[Column], rows: usize) -> Vec<Value> {
    let restarts = |row: usize| {
        arguments.get(1).is_some_and(|it| {
            let value = it.get(row);
            value.as_bool() == Some(true)
        })
    };
    match call.kind {
        WindowKind::Number => {
            let begin = |row: usize| arguments.first().map_or(Some(1), |it| it.get(row).as_long());
            let mut number: Option<i64> = None;
            let next = |row: usize| {
                let is_first = row == 0 || restarts(row);
                number = if is_first { begin(row) } else { number.and_then(|it| it.checked_add(1)) };
                number.map_or(Value::Null, Value::Long)
            };
            (0..rows).map(next).collect()
        }
        WindowKind::Sum => {
            let zero = if call.returns == Type::Long { Value::Long(0) } else { Value::Real(0.0) };
            let mut sum = zero.clone();
            let next = |row: usize| {
                if row == 0 || restarts(row) {
                    sum = zero.clone();
                }
                let more = arguments[0].get(row);
                if !more.is_null() {
                    sum = arithmetic(Operator::Add, &sum, &more);
                }
                sum.clone()
            };
            (0..rows).map(next).collect()
        }
        WindowKind::DenseRank | WindowKind::MinRank => {
            let (mut rank, mut place) = (0_i64, 0_i64);
            let next = |row: usize| {
                let is_first = row == 0 || restarts(row);
                place = if is_first { 1 } else { place + 1 };
                if is_first {
                    rank = 1;
                } else if arguments[0].get(row) != arguments[0].get(row - 1) {
                    rank = if call.kind == WindowKind::DenseRank { rank + 1 } else { place };
                }
                Value::Long(rank)
            };
            (0..rows).map(next).collect()
        }
        WindowKind::Previous | WindowKind::Next => {
            let next = |row: usize| {
                let by = arguments.get(1).map_or(Some(1), |it| it.get(row).as_long());
                let here = i64::try_from(row).ok();
                let there = here.zip(by).and_then(|(here, by)| match call.kind {
                    WindowKind::Previous => here.checked_sub(by),
                    _ => here.checked_add(by),
                });
                let there = there.and_then(|it| usize::try_from(it).ok()).filter(|it| *it < rows);
                match (there, arguments.get(2)) {
                    (Some(there), _) => arguments[0].get(there),
                    (None, Some(otherwise)) => otherwise.get(row),
                    (None, None) => nothing(call),
                }
            };
            (0..rows).map(next).collect()
        }
    }
}
