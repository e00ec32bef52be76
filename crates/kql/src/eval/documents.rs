//! What is known of documents without reading them whole.
//!
//! Tests of documents' text: most documents can be told not to pass by looking at their layers. A text without quotes and punctuation of JSON stands within one string of a document, if anywhere, and that
//! string stands in one of its layers. So where no layer has the text, no document made of them has it; and where
//! a layer has it that nothing hides, the document does.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Context, apply, tested, tested_text};
use crate::column::document::{Document, Trace};
use crate::column::{Batch, Column, Gathered};
use crate::function::{Function, convert, items, search};
use crate::plan::{Bound, Memo, Node};
use crate::syntax::{Test, TestKind};
use crate::value::Value;

/// `parse_json` and `bag_keys` of nothing but bags; `None` where that is not what is asked.
pub(super) fn call(
    function: &Function,
    columns: &[Column],
    rows: usize,
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    let [Column::Document(document)] = columns else { return None };
    let is = |name: &str| function.names.contains(&name);
    if is("parse_json") && document.holds_bags() {
        // They are what parsing would make of them: they stay unread.
        return Some(columns[0].clone());
    }
    if !is("bag_keys") || !document.holds_bags() {
        return None;
    }
    let of_layers = document.names();
    Some(apply(context, &of_layers, rows, memo, |it| {
        let mut several = it.iter().filter(|names| !names.is_null());
        let Some(first) = several.next() else { return Value::Null };
        let mut known = HashSet::new();
        let names = std::iter::once(first).chain(several).flat_map(|it| items(it).unwrap_or_default());
        Value::array(names.filter(|name| known.insert(*name)).cloned().collect())
    }))
}

/// `contains`, `has` and their like of documents; `None` where that is not what is asked.
pub(super) fn test(
    test: Test,
    left: &Bound,
    right: &Bound,
    batch: &Batch,
    memo: &Memo,
    context: &Context<'_>,
) -> Option<Column> {
    let is_within =
        matches!(test.kind, TestKind::Contains | TestKind::Has | TestKind::HasPrefix | TestKind::HasSuffix);
    let (Node::Convert(of, _), Some(needle @ Value::String(words)), true) =
        (&left.node, right.as_const(), is_within)
    else {
        return None;
    };
    if !stands_in_a_string(words) {
        return None;
    }
    let Column::Document(document) = of.eval(batch, context) else { return None };
    let mut scratch = context.scratch.borrow_mut();
    let passes = |text: &str| tested_text(test, text, words, &mut scratch) == Value::Bool(!test.is_negated);
    let (sure, may) = rows(&document, words, passes, batch.rows, memo, context);
    let rest = document.select(&may, &mut Gathered::default()).values();
    let truths = apply(context, &[rest], may.len(), &Memo::default(), |it| {
        tested(test, &convert(&it[0], left.kind), needle, &mut scratch)
    });
    let mut all = vec![Value::Bool(test.is_negated); batch.rows];
    for row in sure {
        if let Some(slot) = all.get_mut(row as usize) {
            *slot = Value::Bool(!test.is_negated);
        }
    }
    for (place, row) in may.iter().enumerate() {
        if let Some(slot) = all.get_mut(*row as usize) {
            *slot = truths.get(place);
        }
    }
    Some(Column::plain(all))
}

/// No punctuation of JSON, and something that no number and none of its words has.
fn stands_in_a_string(words: &str) -> bool {
    let is_plain = |it: char| !it.is_control() && !"\"\\{}[]:,".contains(it);
    words.chars().all(is_plain)
        && words.chars().any(|it| !it.is_ascii_digit() && !"+-.eEtrufalsn".contains(it))
}

/// The rows whose documents are known to pass, and those that have to be read.
fn rows(
    document: &Document,
    words: &str,
    mut passes: impl FnMut(&str) -> bool,
    rows: usize,
    memo: &Memo,
    context: &Context<'_>,
) -> (Vec<u32>, Vec<u32>) {
    let mut traces = memo.traces.borrow_mut();
    let is_same = traces.len() == document.layers.len()
        && traces.iter().zip(&document.layers).all(|((texts, _), layer)| Arc::ptr_eq(texts, &layer.texts));
    if !is_same {
        *traces = document
            .layers
            .iter()
            .map(|layer| {
                context.keep(layer.texts.len());
                (Arc::clone(&layer.texts), vec![None; layer.texts.len()])
            })
            .collect();
    }
    let found: Vec<_> = document.layers.iter().map(|layer| layer.texts.find(&document.path)).collect();
    let (mut sure, mut may) = (Vec::new(), Vec::new());
    // Rows that pass in a layer over which others are laid.
    let mut covered = Vec::new();
    for row in 0..u32::try_from(rows).unwrap_or(u32::MAX) {
        let mut best = Trace::Nothing;
        let mut is_on_top = false;
        for ((layer, found), (texts, traces)) in document.layers.iter().zip(&found).zip(traces.iter_mut()) {
            let code = layer.codes.get(row as usize).copied().unwrap_or(u32::MAX);
            let Some(trace) = traces.get_mut(code as usize) else { continue };
            let trace = *trace.get_or_insert_with(|| {
                if context.is_over() {
                    return Trace::Nothing;
                }
                match found.text(texts, code) {
                    "" | "null" => Trace::Nothing,
                    text if !search::contains(text, words, false) => Trace::HasNot,
                    // A text alone would be asked without its quotes and escapes.
                    text if text.starts_with(['{', '[']) && passes(text) => Trace::Passes,
                    _ => Trace::Has,
                }
            });
            if trace != Trace::Nothing {
                is_on_top = trace == Trace::Passes;
            }
            best = best.max(trace);
        }
        match best {
            Trace::HasNot => {}
            Trace::Passes if is_on_top => sure.push(row),
            Trace::Passes => covered.push(row),
            Trace::Has | Trace::Nothing => may.push(row),
        }
    }
    if !covered.is_empty() {
        let is_apart = rows_apart(&document.select(&covered, &mut Gathered::default()), covered.len());
        for (row, is_apart) in covered.into_iter().zip(is_apart) {
            if is_apart { sure.push(row) } else { may.push(row) }
        }
    }
    (sure, may)
}

/// Of each row, whether its layers have no member in common: then no layer hides anything of another.
fn rows_apart(document: &Document, rows: usize) -> Vec<bool> {
    let names = document.names();
    let texts: Vec<_> = document.layers.iter().map(|layer| layer.texts.find(&document.path)).collect();
    // Rows beside each other have the same names.
    let mut last: (Vec<Value>, bool) = (Vec::new(), false);
    let is_apart = |row: usize| {
        let mut of_row = Vec::with_capacity(names.len());
        for ((layer, found), names) in document.layers.iter().zip(&texts).zip(&names) {
            let code = layer.codes.get(row).copied().unwrap_or(u32::MAX);
            match (names.get(row), found.text(&layer.texts, code)) {
                (Value::Null, "" | "null") => {}
                (Value::Null, _) => return false,
                (names, _) => of_row.push(names),
            }
        }
        let is_same = |one: &Value, other: &Value| match (one, other) {
            (Value::Array(one), Value::Array(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let is_known = last.0.len() == of_row.len()
            && last.0.iter().zip(&of_row).all(|(one, other)| is_same(one, other));
        if !is_known {
            let mut known = HashSet::new();
            let is_apart = of_row.iter().filter_map(items).flatten().all(|name| known.insert(name));
            last = (of_row, is_apart);
        }
        last.1
    };
    (0..rows).map(is_apart).collect()
}
