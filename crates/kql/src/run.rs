//! A query, run.

use std::sync::Arc;

use crate::bind::bind;
use crate::column::Batch;
use crate::error::QueryError;
use crate::eval::Context;
use crate::exec;
use crate::parse::parse;
use crate::source::Source;
use crate::value::{Type, Value};

/// What a run depends on besides the query and the tables.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// What `now()` is: ticks of 100 nanoseconds since 1970 (UTC).
    pub now: i64,
    /// Bytes that the query may hold, about.
    pub memory_bytes_max: usize,
    /// Asked between batches; true ends the query.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerColumn {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Type,
}

/// The rows that a query comes to. Documents in them stay text until a row is asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<AnswerColumn>,
    /// How many rows there are.
    pub rows: usize,
    batches: Vec<Batch>,
    /// The row with which each batch begins.
    begins: Vec<usize>,
    bytes: usize,
}

impl Answer {
    /// The values of a row; empty if there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> Vec<Value> {
        let batch = self.begins.partition_point(|begin| *begin <= row).saturating_sub(1);
        match (self.batches.get(batch), self.begins.get(batch)) {
            (Some(found), Some(begin)) if row - begin < found.rows => found.row(row - begin),
            _ => Vec::new(),
        }
    }

    /// About how many bytes of memory it holds, without what it shares with the tables.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }
}

/// Runs a query.
///
/// # Errors
/// [`QueryError`] if it cannot be read, names what is not there, wants too much memory, or is stopped.
pub fn run(text: &str, source: &dyn Source, settings: &Settings<'_>) -> Result<Answer, QueryError> {
    run_with(text, source, settings, true)
}

/// As [`run`], with or without the optimiser.
///
/// # Errors
/// As [`run`].
#[doc(hidden)]
pub fn run_with(
    text: &str,
    source: &dyn Source,
    settings: &Settings<'_>,
    optimises: bool,
) -> Result<Answer, QueryError> {
    let query = parse(text)?;
    let mut context = Context::new(settings.now, settings.memory_bytes_max, settings.stop);
    context.optimises = optimises;
    let plan = bind(&query, source, &context)?;
    context.check()?;
    let columns: Vec<AnswerColumn> = plan
        .fields
        .iter()
        .map(|field| AnswerColumn { name: Arc::clone(&field.name), kind: field.kind })
        .collect();
    let mut answer = Answer { columns, rows: 0, batches: Vec::new(), begins: Vec::new(), bytes: 0 };
    exec::for_each(plan, &context, |batch| {
        if batch.rows > 0 {
            let bytes = exec::held(&batch);
            context.hold(bytes)?;
            answer.bytes += bytes;
            answer.begins.push(answer.rows);
            answer.rows += batch.rows;
            answer.batches.push(batch);
        }
        Ok(())
    })?;
    Ok(answer)
}
