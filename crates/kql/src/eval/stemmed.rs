//! Expressions over texts that share their beginnings: what the beginning decides is computed once for all.
//!
//! Each function answers `None` where the arguments are of other kinds; then the expression goes its usual way.

use std::sync::Arc;

use regex::Regex;

use super::{Context, apply_stemmed, tested_text};
use crate::column::stem::{self, Stemmed};
use crate::column::{Batch, Column};
use crate::compute;
use crate::function::{Function, extracted, search};
use crate::parse_operator::Pattern;
use crate::plan::{Bound, Memo, Node};
use crate::syntax::{Operator, Test, TestKind};
use crate::value::{Type, Value};

/// `extract(pattern, group, texts)`, `tolower(texts)`
pub(super) fn call(
    function: &Function,
    kind: Type,
    columns: &[Column],
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    match columns {
        [Column::Stemmed(texts)] if function.names.contains(&"tolower") => {
            let stems = Arc::clone(texts.stems.lowered()?);
            Some(Column::Stemmed(Stemmed { stems, ..texts.clone() }))
        }
        [Column::Const(Value::String(pattern)), Column::Const(group), Column::Stemmed(texts), rest @ ..]
            if function.names.contains(&"extract") =>
        {
            let (Value::Long(at), [] | [Column::Const(Value::String(_))]) = (group, rest) else {
                return None;
            };
            let into = rest.first().map(|column| column.get(0));
            let mut scratch = context.scratch.borrow_mut();
            let regex = scratch.regex(pattern)?;
            let found = texts.stems.foreseen(regex.as_str(), usize::try_from(*at).unwrap_or(usize::MAX))?;
            let made = |found: Option<&str>| match extracted(found, into.as_ref()) {
                Value::Null => kind.nothing(),
                value => value,
            };
            let decide = |code: u32, stem: &stem::Stem| {
                let seen = found.at(code, stem)?;
                Some(made(seen.span.and_then(|(begin, end)| stem.text.get(begin..end))))
            };
            let text = |text: &str| {
                let mut arguments =
                    vec![Value::String(Arc::clone(pattern)), group.clone(), Value::text(text)];
                arguments.extend(into.clone());
                match (function.call)(&mut scratch, &arguments) {
                    Value::Null => kind.nothing(),
                    value => value,
                }
            };
            Some(apply_stemmed(context, (texts, columns), memo, decide, text))
        }
        _ => None,
    }
}

/// `split(texts, delimiter)[at]`
pub(super) fn part(
    of: &Bound,
    at: &Bound,
    batch: &Batch,
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    let (Node::Call(call, arguments, _), Some(Value::Long(at))) = (&of.node, at.as_const()) else {
        return None;
    };
    let ([texts, delimiter], true) = (arguments.as_slice(), call.0.names.contains(&"split")) else {
        return None;
    };
    let Some(Value::String(delimiter)) = delimiter.as_const() else { return None };
    let column = texts.eval(batch, context);
    let Column::Stemmed(texts) = &column else { return None };
    let arguments = [column.clone(), Column::Const(Value::String(Arc::clone(delimiter)))];
    let decide =
        |_, stem: &stem::Stem| Some(stem::nth_part(stem, delimiter, *at)?.map_or(Value::Null, Value::text));
    let mut scratch = context.scratch.borrow_mut();
    let compute = |text: &str| {
        let parts = (call.0.call)(&mut scratch, &[Value::text(text), Value::String(Arc::clone(delimiter))]);
        compute::index(&parts, &Value::Long(*at))
    };
    Some(apply_stemmed(context, (texts, &arguments), memo, decide, compute))
}

/// `==`, `!=` with a text that is known.
pub(super) fn compare(
    operator: Operator,
    ignores_case: bool,
    columns: &[Column; 2],
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    if !matches!(operator, Operator::Equal | Operator::NotEqual) {
        return None;
    }
    let (texts, other) = match columns {
        [Column::Stemmed(texts), Column::Const(Value::String(other))]
        | [Column::Const(Value::String(other)), Column::Stemmed(texts)] => (texts, other),
        _ => return None,
    };
    let truth = |is_equal: bool| Value::Bool(is_equal == (operator == Operator::Equal));
    let decide = |_, stem: &stem::Stem| stem::equals(stem, other).map(truth);
    let compute = |text: &str| {
        truth(if ignores_case { search::equals_ignoring_case(text, other) } else { text == &**other })
    };
    Some(apply_stemmed(context, (texts, columns), memo, decide, compute))
}

/// `contains`, `startswith`, `=~` and their like, with a text that is known.
pub(super) fn test(test: Test, columns: &[Column; 2], memo: &Memo, context: &Context<'_>) -> Option<Column> {
    let [Column::Stemmed(texts), Column::Const(Value::String(words))] = columns else { return None };
    let decide = |_, stem: &stem::Stem| {
        let is_so = match test.kind {
            TestKind::Equal => stem::equals(stem, words),
            TestKind::Contains => stem::contains(stem, words, test.is_cased),
            TestKind::StartsWith => stem::starts_with(stem, words, test.is_cased),
            _ => None,
        };
        Some(Value::Bool(is_so? != test.is_negated))
    };
    let mut scratch = context.scratch.borrow_mut();
    let compute = |text: &str| tested_text(test, text, words, &mut scratch);
    Some(apply_stemmed(context, (texts, columns), memo, decide, compute))
}

/// `matches regex`
pub(super) fn matches(
    regex: &Regex,
    is_negated: bool,
    columns: &[Column; 1],
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    let [Column::Stemmed(texts)] = columns else { return None };
    // No group is asked for: whatever is matched may go on behind the stem.
    let found = texts.stems.foreseen(regex.as_str(), usize::MAX)?;
    let decide =
        |code: u32, stem: &stem::Stem| Some(Value::Bool(found.at(code, stem)?.is_match != is_negated));
    let compute = |text: &str| Value::Bool(regex.is_match(text) != is_negated);
    Some(apply_stemmed(context, (texts, columns), memo, decide, compute))
}

/// `parse`
pub(super) fn parsed(
    pattern: &Pattern,
    columns: &[Column; 1],
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    let [Column::Stemmed(texts)] = columns else { return None };
    let decide = |_, stem: &stem::Stem| pattern.read_stem(stem);
    Some(apply_stemmed(context, (texts, columns), memo, decide, |text| pattern.read(text)))
}
