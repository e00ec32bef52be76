//! Tests of whole documents' text: most documents can be told not to pass by looking at their layers.
//!
//! A text without quotes and punctuation of JSON stands within one string of a document, if anywhere, and that
//! string stands in one of its layers. So where no layer has the text, no document made of them has it.

use std::sync::Arc;

use super::{Context, apply, tested};
use crate::column::{Batch, Column, Gathered};
use crate::document::{Document, Trace};
use crate::function::{convert, search};
use crate::plan::{Bound, Memo, Node};
use crate::syntax::{Test, TestKind};
use crate::value::Value;

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
    let may = rows_that_may(&document, words, batch.rows, memo, context);
    let rest = document.select(&may, &mut Gathered::default()).values();
    let mut scratch = context.scratch.borrow_mut();
    let truths = apply(context, &[rest], may.len(), &Memo::default(), |it| {
        tested(test, &convert(&it[0], left.kind), needle, &mut scratch)
    });
    let mut all = vec![Value::Bool(test.is_negated); batch.rows];
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

/// The rows whose documents have the words in a layer, or of which nothing is known.
fn rows_that_may(
    document: &Document,
    words: &str,
    rows: usize,
    memo: &Memo,
    context: &Context<'_>,
) -> Vec<u32> {
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
    let mut may = Vec::new();
    for row in 0..u32::try_from(rows).unwrap_or(u32::MAX) {
        let mut is_anything = false;
        let mut has = false;
        for ((layer, found), (texts, traces)) in document.layers.iter().zip(&found).zip(traces.iter_mut()) {
            let code = layer.codes.get(row as usize).copied().unwrap_or(u32::MAX);
            let Some(trace) = traces.get_mut(code as usize) else { continue };
            let trace = *trace.get_or_insert_with(|| {
                if context.is_over() {
                    return Trace::Nothing;
                }
                match found.text(texts, code) {
                    "" | "null" => Trace::Nothing,
                    text if search::contains(text, words, false) => Trace::Has,
                    _ => Trace::HasNot,
                }
            });
            is_anything |= trace != Trace::Nothing;
            has |= trace == Trace::Has;
        }
        if has || !is_anything {
            may.push(row);
        }
    }
    may
}
