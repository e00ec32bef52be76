//! Plans to rows: each operator asks the one below it for the next batch.

mod batches;
mod expand;
mod group;
mod join;
mod key;
mod sort;
mod window;

use std::sync::Arc;

use crate::column::{Batch, Column};
use crate::error::QueryError;
use crate::eval::Context;
use crate::plan::{Bound, Op, Plan};
use crate::value::Value;

pub(crate) use batches::{concat, held};

/// Rows on demand.
pub(crate) trait Rows {
    /// The next rows; `None` when there are no more. Of an operator that [`open`] made, no batch is empty.
    fn next(&mut self) -> Result<Option<Batch>, QueryError>;
}

type Boxed<'a> = Box<dyn Rows + 'a>;

/// Runs a plan and hands over its batches.
pub(crate) fn for_each(
    plan: Plan,
    context: &Context<'_>,
    mut take: impl FnMut(Batch) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let plan = if context.optimises { crate::optimise::optimised(plan) } else { plan };
    let mut rows = open(&plan, context, None)?;
    while let Some(batch) = rows.next()? {
        context.check()?;
        take(batch)?;
    }
    context.check()
}

/// Makes the operators of a plan. `lent` is what [`Op::Lent`] stands for.
fn open<'a>(plan: &'a Plan, context: &'a Context<'_>, lent: Option<&Batch>) -> Result<Boxed<'a>, QueryError> {
    Ok(Box::new(Filled(operator(plan, context, lent)?)))
}

/// An operator whose empty batches are left out: a value that is the same in every row of a batch is there
/// without any row, and no operator above should have to tell.
struct Filled<'a>(Boxed<'a>);

impl Rows for Filled<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        loop {
            match self.0.next()? {
                Some(batch) if batch.rows == 0 => {}
                other => return Ok(other),
            }
        }
    }
}

fn operator<'a>(
    plan: &'a Plan,
    context: &'a Context<'_>,
    lent: Option<&Batch>,
) -> Result<Boxed<'a>, QueryError> {
    Ok(match &plan.op {
        Op::Scan { table, needed } => Box::new(Scan { batches: table.batches(needed), context }) as Boxed<'a>,
        Op::Rows(rows) => Box::new(Once(Some(of_rows(rows, plan.fields.len())))),
        Op::Range { from, step, count } => Box::new(Range { from, step, count: *count, done: 0, context }),
        Op::Filter(input, predicate) => {
            Box::new(Filter { input: open(input, context, lent)?, predicate, context })
        }
        Op::Project(input, exprs) => {
            Box::new(Project { input: open(input, context, lent)?, exprs, context, held: 0 })
        }
        Op::Summarize { input, keys, aggregates } => {
            let input = open(input, context, lent)?;
            Box::new(group::Summarize::new(input, keys, aggregates, plan.fields.len(), context))
        }
        Op::Sort { input, keys, limit } => {
            Box::new(sort::Sort::new(open(input, context, lent)?, keys, *limit, context))
        }
        Op::Take(input, count) => Box::new(Take { input: open(input, context, lent)?, left: *count }),
        Op::Join { kind, left, right, left_keys, right_keys, output } => {
            let input = |plan: &'a Plan, keys: &'a [Bound]| -> Result<join::Input<'a>, QueryError> {
                Ok(join::Input { rows: open(plan, context, lent)?, keys, nothings: nothings(plan) })
            };
            let inputs = (input(left, left_keys)?, input(right, right_keys)?);
            Box::new(join::Join::new(*kind, inputs, output, context))
        }
        Op::Union(legs) => {
            let opened = legs.iter().map(|(leg, places)| Ok((open(leg, context, lent)?, places.as_slice())));
            let legs = opened.collect::<Result<Vec<_>, QueryError>>()?;
            Box::new(Union { legs: legs.into_iter(), current: None, nothings: nothings(plan) })
        }
        Op::Expand { input, expand } => {
            Box::new(expand::Expand::new(open(input, context, lent)?, expand, context))
        }
        Op::Apply { input, expand, inner, output } => {
            Box::new(expand::Apply::new(open(input, context, lent)?, expand, inner, output, context))
        }
        Op::Window(input, calls) => {
            Box::new(window::Window::new(open(input, context, lent)?, calls, plan.fields.len(), context))
        }
        Op::Lent => Box::new(Once(lent.cloned())),
    })
}

/// What stands in a plan's columns where there is no row.
fn nothings(plan: &Plan) -> Vec<Value> {
    plan.fields.iter().map(|field| field.kind.nothing()).collect()
}

/// A batch of rows that are at hand.
pub(crate) fn of_rows(rows: &[Vec<Value>], width: usize) -> Batch {
    let column = |at: usize| {
        Column::plain(rows.iter().map(|row| row.get(at).cloned().unwrap_or(Value::Null)).collect())
    };
    Batch { rows: rows.len(), columns: (0..width).map(column).collect() }
}

struct Once(Option<Batch>);

impl Rows for Once {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        Ok(self.0.take())
    }
}

struct Scan<'a> {
    batches: Box<dyn Iterator<Item = Batch> + 'a>,
    context: &'a Context<'a>,
}

impl Rows for Scan<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        self.context.check()?;
        Ok(self.batches.next())
    }
}

struct Range<'a> {
    from: &'a Value,
    step: &'a Value,
    count: u64,
    done: u64,
    context: &'a Context<'a>,
}

impl Rows for Range<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        self.context.check()?;
        let rows = (self.count - self.done).min(BATCH_ROWS as u64);
        if rows == 0 {
            return Ok(None);
        }
        let value = |at: u64| {
            let times = Value::Long(i64::try_from(at).unwrap_or(i64::MAX));
            let way = crate::compute::arithmetic(crate::syntax::Operator::Multiply, self.step, &times);
            crate::compute::arithmetic(crate::syntax::Operator::Add, self.from, &way)
        };
        let values = (self.done..self.done + rows).map(value).collect();
        self.done += rows;
        Ok(Some(Batch { rows: usize::try_from(rows).unwrap_or(0), columns: vec![Column::plain(values)] }))
    }
}

struct Filter<'a> {
    input: Boxed<'a>,
    predicate: &'a Bound,
    context: &'a Context<'a>,
}

impl Rows for Filter<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        loop {
            let Some(batch) = self.input.next()? else { return Ok(None) };
            let (chosen, bytes) = self.context.counted(|| self.predicate.holds(&batch, self.context));
            self.context.check()?;
            self.context.release(bytes);
            match chosen {
                None => return Ok(Some(batch)),
                Some(chosen) if chosen.is_empty() => {}
                Some(chosen) => return Ok(Some(batch.select(&chosen))),
            }
        }
    }
}

struct Project<'a> {
    input: Boxed<'a>,
    exprs: &'a [Bound],
    context: &'a Context<'a>,
    /// Bytes of the values handed on last: whoever keeps them counts them.
    held: usize,
}

impl Rows for Project<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        self.context.release(std::mem::take(&mut self.held));
        let Some(batch) = self.input.next()? else { return Ok(None) };
        let compute = || self.exprs.iter().map(|expr| expr.eval(&batch, self.context)).collect();
        let (columns, bytes) = self.context.counted(compute);
        self.held = bytes;
        self.context.check()?;
        Ok(Some(Batch { rows: batch.rows, columns }))
    }
}

struct Take<'a> {
    input: Boxed<'a>,
    left: usize,
}

impl Rows for Take<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(batch) = self.input.next()? else { return Ok(None) };
        if batch.rows <= self.left {
            self.left -= batch.rows;
            return Ok(Some(batch));
        }
        let rows: Vec<u32> = (0..u32::try_from(self.left).unwrap_or(u32::MAX)).collect();
        self.left = 0;
        Ok(Some(batch.select(&rows)))
    }
}

struct Union<'a> {
    legs: std::vec::IntoIter<(Boxed<'a>, &'a [Option<usize>])>,
    current: Option<(Boxed<'a>, &'a [Option<usize>])>,
    nothings: Vec<Value>,
}

impl Rows for Union<'_> {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        loop {
            if self.current.is_none() {
                self.current = self.legs.next();
            }
            let Some((leg, places)) = &mut self.current else { return Ok(None) };
            let Some(batch) = leg.next()? else {
                self.current = None;
                continue;
            };
            let columns = places.iter().zip(&self.nothings).map(|(place, nothing)| match place {
                Some(place) => batch.columns[*place].clone(),
                None => Column::Const(nothing.clone()),
            });
            return Ok(Some(Batch { rows: batch.rows, columns: columns.collect() }));
        }
    }
}

/// All rows of an operator as one batch, counted as held.
fn collect(input: &mut Boxed<'_>, width: usize, context: &Context<'_>) -> Result<Batch, QueryError> {
    let mut batches = Vec::new();
    while let Some(batch) = input.next()? {
        context.hold(held(&batch))?;
        batches.push(batch);
    }
    Ok(concat(&batches, width))
}

/// Rows that operators hand on at once, about.
pub(crate) const BATCH_ROWS: usize = 4096;

/// A number of rows as positions are counted.
fn rows_of(batch: &Batch) -> std::ops::Range<u32> {
    0..u32::try_from(batch.rows).unwrap_or(u32::MAX)
}

/// The values of an expression, a shared column.
fn column(values: Vec<Value>) -> Column {
    Column::Plain(Arc::new(values))
}
