//! Expressions over a batch: a column in, a column out.

mod documents;
mod pairs;
mod stemmed;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;

use crate::column::stem::{Stem, Stemmed};
use crate::column::{Batch, Column, Dictionary};
use crate::compute;
use crate::error::{Code, QueryError};
use crate::function::{Scratch, VALUE_BYTES_MAX, convert, search};
use crate::plan::{Among, Argument, Bound, Memo, Node};
use crate::syntax::{AmongKind, Operator, Test, TestKind};
use crate::value::{Type, Value};

/// What one run of a query shares: its limits, and what failed.
pub(crate) struct Context<'a> {
    pub(crate) scratch: RefCell<Scratch>,
    memory_left: Cell<usize>,
    memory_bytes_max: usize,
    stop: &'a (dyn Fn() -> bool + Sync),
    failure: RefCell<Option<QueryError>>,
    /// Nothing that is still to be computed matters: the query failed, or was stopped.
    is_over: Cell<bool>,
    looks: Cell<u8>,
    /// Bytes of values that were computed for a batch; see [`Context::counted`].
    lent: Cell<usize>,
    /// Bytes of values that stay.
    kept: Cell<usize>,
    pub(crate) optimises: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(now: i64, memory_bytes_max: usize, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            scratch: RefCell::new(Scratch::new(now)),
            memory_left: Cell::new(memory_bytes_max),
            memory_bytes_max,
            stop,
            failure: RefCell::default(),
            is_over: Cell::new(false),
            looks: Cell::new(0),
            lent: Cell::new(0),
            kept: Cell::new(0),
            optimises: true,
        }
    }

    /// To be asked between batches.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if let Some(message) = self.scratch.borrow_mut().take_failure() {
            return Err(QueryError::invalid(message));
        }
        if let Some(error) = self.failure.borrow_mut().take() {
            return Err(error);
        }
        if (self.stop)() {
            return Err(QueryError::of(Code::Cancelled, "The query took too long, or its client has gone."));
        }
        self.is_over.set(false);
        Ok(())
    }

    /// To be asked between values: true if what is still to be computed does not matter any more. The next
    /// [`Context::check`] says why.
    fn is_over(&self) -> bool {
        let looks = self.looks.get().wrapping_add(1);
        self.looks.set(looks);
        if looks.is_multiple_of(LOOKS) && (self.stop)() {
            self.is_over.set(true);
        }
        self.is_over.get()
    }

    fn fail(&self, error: QueryError) {
        self.failure.borrow_mut().get_or_insert(error);
        self.is_over.set(true);
    }

    /// Counts the bytes of a value that was computed.
    fn lend(&self, bytes: usize) {
        match self.hold(bytes) {
            Ok(()) => self.lent.set(self.lent.get() + bytes),
            Err(error) => self.fail(error),
        }
    }

    /// As [`Context::lend`], of a value that is kept as long as the query runs.
    fn keep(&self, bytes: usize) {
        match self.hold(bytes) {
            Ok(()) => self.kept.set(self.kept.get() + bytes),
            Err(error) => self.fail(error),
        }
    }

    /// Does what computes values, and tells how many bytes they hold: to be [released](Context::release) once
    /// they are gone.
    pub(crate) fn counted<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.lent.get();
        let made = work();
        (made, self.lent.replace(before) - before)
    }

    /// Does what holds nothing once it is done, whatever it counted meanwhile.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> Result<T, QueryError>) -> Result<T, QueryError> {
        let (left, lent, kept) = (self.memory_left.get(), self.lent.get(), self.kept.get());
        let made = work()?;
        self.memory_left.set(left.saturating_sub(self.kept.get() - kept));
        self.lent.set(lent);
        Ok(made)
    }

    /// Counts memory that the query holds from now on.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        match self.memory_left.get().checked_sub(bytes) {
            Some(left) => {
                self.memory_left.set(left);
                Ok(())
            }
            None => {
                let message = format!(
                    "The query needs more than {} MiB of memory. Filter earlier, project fewer columns, or ask for less.",
                    self.memory_bytes_max >> 20
                );
                Err(QueryError::of(Code::ResponsePayloadTooLarge, message))
            }
        }
    }

    /// Gives back what was counted.
    pub(crate) fn release(&self, bytes: usize) {
        self.memory_left.set(self.memory_left.get().saturating_add(bytes).min(self.memory_bytes_max));
    }

    /// The value, unless it is larger than a value may be.
    fn bounded(&self, value: Value) -> Value {
        let is_small = match &value {
            Value::String(text) => text.len() <= VALUE_BYTES_MAX,
            Value::Array(_) | Value::Object(_) => fits(&value, &mut VALUE_BYTES_MAX.clone(), VALUE_DEPTH_MAX),
            _ => true,
        };
        if is_small {
            return value;
        }
        self.fail(QueryError::invalid(format!(
            "A value became larger than {} MiB, or nested deeper than {VALUE_DEPTH_MAX}: no value may be so.",
            VALUE_BYTES_MAX >> 20
        )));
        Value::Null
    }
}

/// Counts down what a value takes, and stops at nothing: shared parts count as often as they are written.
fn fits(value: &Value, left: &mut usize, depth_left: u32) -> bool {
    let Some(depth_left) = depth_left.checked_sub(1) else { return false };
    let own = match value {
        Value::String(text) => text.len() + 24,
        _ => 24,
    };
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| fits(item, left, depth_left)),
        Value::Object(members) => members.iter().all(|(name, value)| {
            *left = left.saturating_sub(name.len() + 16);
            fits(value, left, depth_left)
        }),
        _ => true,
    }
}

impl Bound {
    /// Its value in each row of the batch.
    pub(crate) fn eval(&self, batch: &Batch, context: &Context<'_>) -> Column {
        match &self.node {
            Node::Const(value) => Column::Const(value.clone()),
            Node::Column(position) => {
                batch.columns.get(*position).cloned().unwrap_or(Column::Const(Value::Null))
            }
            Node::Member(of, name, memo) => match of.eval(batch, context) {
                Column::Document(document) if document.has_layers_apart() => {
                    Column::Document(document.member(name))
                }
                other => apply(context, &[other], batch.rows, memo, |it| {
                    it[0].member(name).cloned().unwrap_or(Value::Null)
                }),
            },
            Node::Index(of, at, memo) => {
                if let Some(part) = stemmed::part(of, at, batch, memo, context) {
                    return part;
                }
                let arguments = [of.eval(batch, context), at.eval(batch, context)];
                apply(context, &arguments, batch.rows, memo, |it| compute::index(&it[0], &it[1]))
            }
            Node::Call(call, arguments, memo) => {
                let function = call.0;
                let columns: Vec<Column> = arguments.iter().map(|it| it.eval(batch, context)).collect();
                if let Some(column) = documents::call(function, &columns, batch.rows, memo, context) {
                    return column;
                }
                if let Some(column) = stemmed::call(function, self.kind, &columns, memo, context) {
                    return column;
                }
                let nothing = self.kind.nothing();
                let mut scratch = context.scratch.borrow_mut();
                apply(context, &columns, batch.rows, memo, |it| {
                    if !function.sees_null && it.iter().any(Value::is_null) {
                        return nothing.clone();
                    }
                    match (function.call)(&mut scratch, it) {
                        Value::Null => nothing.clone(),
                        value => context.bounded(value),
                    }
                })
            }
            Node::Convert(of, memo) => {
                let columns = [of.eval(batch, context)];
                apply(context, &columns, batch.rows, memo, |it| convert(&it[0], self.kind))
            }
            Node::And(terms, memo) => logic(terms, batch, context, memo, false),
            Node::Or(terms, memo) => logic(terms, batch, context, memo, true),
            Node::Arithmetic(operator, left, right, memo) => {
                let columns = [left.eval(batch, context), right.eval(batch, context)];
                apply(context, &columns, batch.rows, memo, |it| {
                    compute::arithmetic(*operator, &it[0], &it[1])
                })
            }
            Node::Compare(operator, ignores_case, left, right, memo) => {
                let columns = [left.eval(batch, context), right.eval(batch, context)];
                if let Some(column) = stemmed::compare(*operator, *ignores_case, &columns, memo, context) {
                    return column;
                }
                apply(context, &columns, batch.rows, memo, |it| match (it[0].as_text(), it[1].as_text()) {
                    (Some(left), Some(right)) if *ignores_case => {
                        let is_equal = search::equals_ignoring_case(left, right);
                        Value::Bool(is_equal == (*operator == Operator::Equal))
                    }
                    _ => compute::compare(*operator, &it[0], &it[1]),
                })
            }
            Node::Test(test, left, right, memo) => {
                if let Some(column) = documents::test(*test, left, right, batch, memo, context) {
                    return column;
                }
                let columns = [left.eval(batch, context), right.eval(batch, context)];
                if let Some(column) = stemmed::test(*test, &columns, memo, context) {
                    return column;
                }
                let mut scratch = context.scratch.borrow_mut();
                apply(context, &columns, batch.rows, memo, |it| tested(*test, &it[0], &it[1], &mut scratch))
            }
            Node::Matches(regex, is_negated, of, memo) => {
                let columns = [of.eval(batch, context)];
                if let Some(column) = stemmed::matches(regex, *is_negated, &columns, memo, context) {
                    return column;
                }
                apply(context, &columns, batch.rows, memo, |it| match it[0].as_text() {
                    Some(text) => Value::Bool(regex.is_match(text) != *is_negated),
                    None => Value::Null,
                })
            }
            Node::Among(among, left, others, memo) => {
                let columns: Vec<Column> =
                    std::iter::once(&**left).chain(others).map(|it| it.eval(batch, context)).collect();
                apply(context, &columns, batch.rows, memo, |it| is_among(among, it, context))
            }
            Node::Parsed(pattern, of, memo) => {
                let columns = [of.eval(batch, context)];
                if let Some(column) = stemmed::parsed(pattern, &columns, memo, context) {
                    return column;
                }
                apply(context, &columns, batch.rows, memo, |it| match it[0].as_text() {
                    Some(text) => pattern.read(text),
                    None => Value::Null,
                })
            }
        }
    }

    /// Its value where there are no rows.
    pub(crate) fn eval_const(&self, context: &Context<'_>) -> Value {
        self.eval(&Batch { rows: 1, columns: Vec::new() }, context).get(0)
    }

    /// The rows of the batch of which it is true.
    pub(crate) fn holds(&self, batch: &Batch, context: &Context<'_>) -> Option<Vec<u32>> {
        let truths = self.eval(batch, context).values();
        let rows = 0..u32::try_from(batch.rows).unwrap_or(u32::MAX);
        let is_true = |value: &Value| value.as_bool() == Some(true);
        let chosen: Vec<u32> = match &truths {
            Column::Const(value) if is_true(value) => return None,
            Column::Const(_) => Vec::new(),
            Column::Coded { codes, values } => rows
                .zip(codes.iter())
                .filter(|(_, code)| is_true(values.get(**code)))
                .map(|(row, _)| row)
                .collect(),
            Column::Plain(values) => {
                rows.zip(values.iter()).filter(|(_, value)| is_true(value)).map(|(row, _)| row).collect()
            }
            Column::Document(_) | Column::Stemmed(_) => Vec::new(),
        };
        (chosen.len() < batch.rows).then_some(chosen)
    }
}

/// A function of the rows' values, computed once a distinct value where there are fewer.
fn apply(
    context: &Context<'_>,
    arguments: &[Column],
    rows: usize,
    memo: &Memo,
    mut compute: impl FnMut(&[Value]) -> Value,
) -> Column {
    let columns: Vec<Column> = arguments.iter().map(Column::values).collect();
    let mut shared = None;
    let mut is_coded = true;
    let mut is_const = true;
    for column in &columns {
        match column {
            Column::Const(_) => continue,
            Column::Coded { codes, .. } => match &shared {
                None => shared = Some(Arc::clone(codes)),
                Some(known) => is_coded &= Arc::ptr_eq(known, codes),
            },
            _ => is_coded = false,
        }
        is_const = false;
    }
    let mut values: Vec<Value> = Vec::with_capacity(columns.len());
    if is_const {
        values.extend(columns.iter().map(|column| column.get(0)));
        return Column::Const(compute(&values));
    }
    if let (true, Some(codes)) = (is_coded, shared) {
        let result = memo.dictionary(&columns);
        result.fill(&codes, |row, _| {
            if context.is_over() {
                return Value::Null;
            }
            values.clear();
            values.extend(columns.iter().map(|column| column.get(row)));
            let value = compute(&values);
            context.keep(own_bytes(&value));
            value
        });
        return Column::Coded { codes, values: result };
    }
    if let Some(column) = pairs::apply(context, &columns, rows, &mut compute) {
        return column;
    }
    Column::plain(computed(context, &columns, 0..rows, &mut compute))
}

/// A function of the values in these rows, one after the other.
fn computed(
    context: &Context<'_>,
    columns: &[Column],
    rows: impl Iterator<Item = usize>,
    compute: &mut impl FnMut(&[Value]) -> Value,
) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::with_capacity(columns.len());
    let each = rows.map(|row| {
        if context.is_over() {
            return Value::Null;
        }
        values.clear();
        values.extend(columns.iter().map(|column| column.get(row)));
        let value = compute(&values);
        context.lend(own_bytes(&value));
        value
    });
    each.collect()
}

/// A function of texts, computed once a stem where that decides it.
///
/// `decide` answers for all texts of a stem, or not at all; `compute` for one text.
fn apply_stemmed(
    context: &Context<'_>,
    (texts, arguments): (&Stemmed, &[Column]),
    memo: &Memo,
    mut decide: impl FnMut(u32, &Stem) -> Option<Value>,
    mut compute: impl FnMut(&str) -> Value,
) -> Column {
    let result = memo.dictionary(arguments);
    let mut undecided = memo.undecided.borrow_mut();
    let mut is_open = false;
    for code in texts.codes.iter() {
        if result.knows(*code) || context.is_over() {
            continue;
        }
        let decided = match texts.stems.get(*code) {
            _ if undecided.contains(code) => None,
            None => Some(Value::Null),
            Some(stem) if stem.has_tail => decide(*code, stem),
            Some(stem) => Some(compute(&stem.text)),
        };
        match decided {
            Some(value) => {
                context.keep(own_bytes(&value));
                result.set(*code, value);
            }
            None => {
                undecided.insert(*code);
                is_open = true;
            }
        }
    }
    if !is_open {
        return Column::Coded { codes: Arc::clone(&texts.codes), values: result };
    }
    let mut written = String::new();
    let mut written_stem = None;
    let each = texts.codes.iter().enumerate().map(|(row, code)| {
        if result.knows(*code) {
            return result.get(*code).clone();
        }
        if context.is_over() {
            return Value::Null;
        }
        texts.write(row, &mut written, written_stem == Some(*code));
        written_stem = Some(*code);
        let value = compute(&written);
        context.lend(own_bytes(&value));
        value
    });
    Column::plain(each.collect())
}

/// About what a value holds besides its place in a column, without what is deep within.
fn own_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len() * size_of::<Value>(),
        Value::Object(members) => members.len() * 3 * size_of::<Value>(),
        _ => 0,
    }
}

impl Memo {
    /// Where the results for these arguments go: the same place as last time, if they are the same.
    fn dictionary(&self, columns: &[Column]) -> Arc<Dictionary> {
        let mut memo = self.results.borrow_mut();
        let is_same = |known: &Argument, column: &Column| match (known, column) {
            (Argument::Const(known), Column::Const(value)) => known == value,
            (Argument::Coded(known), Column::Coded { values, .. }) => Arc::ptr_eq(known, values),
            (Argument::Stemmed(known), Column::Stemmed(texts)) => Arc::ptr_eq(known, &texts.stems),
            _ => false,
        };
        if let Some((known, result)) = &*memo
            && known.len() == columns.len()
            && known.iter().zip(columns).all(|(known, column)| is_same(known, column))
        {
            return Arc::clone(result);
        }
        let mut len = 0;
        let arguments = columns.iter().map(|column| match column {
            Column::Coded { values, .. } => {
                len = len.max(values.len());
                Argument::Coded(Arc::clone(values))
            }
            Column::Stemmed(texts) => {
                len = len.max(texts.stems.len());
                Argument::Stemmed(Arc::clone(&texts.stems))
            }
            other => Argument::Const(other.get(0)),
        });
        let arguments = arguments.collect();
        let result = Arc::new(Dictionary::unknown(len));
        *memo = Some((arguments, Arc::clone(&result)));
        self.undecided.borrow_mut().clear();
        result
    }
}

/// `and` (`or`): false (true) if one term is, else null if one term is, else true (false).
fn logic(terms: &[Bound], batch: &Batch, context: &Context<'_>, memo: &Memo, decisive: bool) -> Column {
    let columns: Vec<Column> = terms.iter().map(|term| term.eval(batch, context)).collect();
    apply(context, &columns, batch.rows, memo, |it| {
        if it.iter().any(|value| value.as_bool() == Some(decisive)) {
            Value::Bool(decisive)
        } else if it.iter().any(Value::is_null) {
            Value::Null
        } else {
            Value::Bool(!decisive)
        }
    })
}

fn tested(test: Test, left: &Value, right: &Value, scratch: &mut Scratch) -> Value {
    match (left, right) {
        (Value::String(text), Value::String(needle)) => tested_text(test, text, needle, scratch),
        _ => Value::Null,
    }
}

fn tested_text(test: Test, text: &str, needle: &Arc<str>, scratch: &mut Scratch) -> Value {
    let is_so = match test.kind {
        TestKind::Equal => search::equals_ignoring_case(text, needle),
        TestKind::Contains => search::contains(text, needle, test.is_cased),
        TestKind::StartsWith => search::starts_with(text, needle, test.is_cased),
        TestKind::EndsWith => search::ends_with(text, needle, test.is_cased),
        TestKind::Has => search::has_term(text, needle, test.is_cased),
        TestKind::HasPrefix => search::has_prefix(text, needle, test.is_cased),
        TestKind::HasSuffix => search::has_suffix(text, needle, test.is_cased),
        TestKind::Matches => match scratch.regex(needle) {
            Some(regex) => regex.is_match(text),
            None => return Value::Null,
        },
    };
    Value::Bool(is_so != test.is_negated)
}

fn is_among(among: &Among, values: &[Value], context: &Context<'_>) -> Value {
    let Some((value, others)) = values.split_first() else { return Value::Null };
    let is_so = match among.kind {
        AmongKind::In => {
            if let Some(known) = &among.known {
                is_in(known, value, among.is_cased)
            } else {
                let is_equal = |one: &Value, other: &Value| match (one.as_text(), other.as_text()) {
                    (Some(one), Some(other)) if !among.is_cased => search::equals_ignoring_case(one, other),
                    _ => one == other,
                };
                others.iter().any(|other| match other {
                    Value::Array(items) => items.iter().any(|item| is_equal(value, item)),
                    other => is_equal(value, other),
                })
            }
        }
        kind => {
            let Some(text) = value.as_text() else { return Value::Null };
            // Many needles in a long text take their time.
            let has = |needle: &Value| {
                !context.is_over() && search::has_term(text, &needle.to_text(), among.is_cased)
            };
            let mut needles = others.iter().flat_map(|other| match other {
                Value::Array(items) => items.iter().collect::<Vec<_>>(),
                other => vec![other],
            });
            if kind == AmongKind::HasAny { needles.any(has) } else { needles.all(has) }
        }
    };
    Value::Bool(is_so != among.is_negated)
}

fn is_in(known: &HashSet<Value>, value: &Value, is_cased: bool) -> bool {
    match value.as_text() {
        Some(text) if !is_cased => known.contains(&Value::text(text.to_lowercase())),
        _ => !value.is_null() && known.contains(value),
    }
}

/// True if the type's values may be asked for their members.
pub(crate) fn has_members(kind: Type) -> bool {
    kind == Type::Dynamic
}

/// So many values are computed between two looks whether to go on.
const LOOKS: u8 = 64;
/// Twice what a JSON text may be nested; whatever walks a value does so on the stack.
const VALUE_DEPTH_MAX: u32 = 256;
