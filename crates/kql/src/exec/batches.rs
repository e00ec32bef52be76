//! Batches side by side and one after the other.

use std::sync::Arc;

use uuid::Uuid;

use crate::column::document::{Document, Layer};
use crate::column::stem::Stemmed;
use crate::column::{Batch, Codes, Column};
use crate::value::Value;

/// The rows of all batches in one. Columns that share dictionaries go on sharing them, and their codes.
pub(crate) fn concat(batches: &[Batch], width: usize) -> Batch {
    if let [one] = batches {
        return one.clone();
    }
    let rows = batches.iter().map(|batch| batch.rows).sum();
    let mut joined = Joined::default();
    let column = |at: usize| {
        let parts: Vec<(usize, &Column)> = batches
            .iter()
            .filter(|batch| batch.rows > 0)
            .map(|batch| (batch.rows, &batch.columns[at]))
            .collect();
        concat_columns(&parts, &mut joined)
    };
    let columns = (0..width).map(column).collect();
    Batch { rows, columns }
}

/// Codes that were put one after the other already.
#[derive(Default)]
struct Joined {
    known: Vec<(Vec<Codes>, Codes)>,
}

impl Joined {
    fn join(&mut self, parts: Vec<Codes>) -> Codes {
        let is_same = |known: &Vec<Codes>| {
            known.len() == parts.len()
                && known.iter().zip(&parts).all(|(known, part)| Arc::ptr_eq(known, part))
        };
        if let Some((_, joined)) = self.known.iter().find(|(known, _)| is_same(known)) {
            return Arc::clone(joined);
        }
        let joined: Codes = Arc::new(parts.iter().map(|part| part.as_slice()).collect::<Vec<_>>().concat());
        self.known.push((parts, Arc::clone(&joined)));
        joined
    }
}

fn concat_columns(parts: &[(usize, &Column)], joined: &mut Joined) -> Column {
    let Some((_, first)) = parts.first() else { return Column::Const(Value::Null) };
    match first {
        Column::Const(value) => {
            if parts.iter().all(|(_, part)| matches!(part, Column::Const(other) if other == value)) {
                return Column::Const(value.clone());
            }
        }
        Column::Coded { values, .. } => {
            let codes = parts.iter().map(|(_, part)| match part {
                Column::Coded { codes, values: other } if Arc::ptr_eq(values, other) => {
                    Some(Arc::clone(codes))
                }
                _ => None,
            });
            if let Some(codes) = codes.collect::<Option<Vec<_>>>() {
                return Column::Coded { codes: joined.join(codes), values: Arc::clone(values) };
            }
        }
        Column::Document(document) => {
            if let Some(document) = concat_documents(document, parts, joined) {
                return Column::Document(document);
            }
        }
        Column::Stemmed(texts) => {
            if let Some(texts) = concat_stemmed(texts, parts, joined) {
                return Column::Stemmed(texts);
            }
        }
        Column::Plain(_) => {}
    }
    let mut values = Vec::with_capacity(parts.iter().map(|(rows, _)| rows).sum());
    for (rows, part) in parts {
        let part = part.values();
        values.extend((0..*rows).map(|row| part.get(row)));
    }
    Column::plain(values)
}

fn concat_stemmed(first: &Stemmed, parts: &[(usize, &Column)], joined: &mut Joined) -> Option<Stemmed> {
    let texts = parts.iter().map(|(_, part)| match part {
        Column::Stemmed(texts) if Arc::ptr_eq(&texts.stems, &first.stems) => Some(texts),
        _ => None,
    });
    let texts: Vec<&Stemmed> = texts.collect::<Option<_>>()?;
    Some(Stemmed {
        codes: joined.join(texts.iter().map(|part| Arc::clone(&part.codes)).collect()),
        stems: Arc::clone(&first.stems),
        tails: Arc::new(texts.iter().map(|part| part.tails.as_slice()).collect::<Vec<_>>().concat()),
    })
}

fn concat_documents(first: &Document, parts: &[(usize, &Column)], joined: &mut Joined) -> Option<Document> {
    let documents = parts.iter().map(|(_, part)| match part {
        Column::Document(document) => Some(document),
        _ => None,
    });
    let documents: Vec<&Document> = documents.collect::<Option<_>>()?;
    let is_same = |other: &&Document| {
        other.path == first.path
            && other.layers.len() == first.layers.len()
            && other
                .layers
                .iter()
                .zip(&first.layers)
                .all(|(one, other)| Arc::ptr_eq(&one.texts, &other.texts))
    };
    if !documents.iter().all(is_same) {
        return None;
    }
    let layers = first.layers.iter().enumerate().map(|(at, layer)| Layer {
        codes: joined.join(documents.iter().map(|document| Arc::clone(&document.layers[at].codes)).collect()),
        texts: Arc::clone(&layer.texts),
    });
    Some(Document { layers: layers.collect(), path: first.path.clone() })
}

/// About how many bytes a batch holds by itself: what it shares with its table is not its own.
pub(crate) fn held(batch: &Batch) -> usize {
    let mut bytes = 0;
    let mut seen: Vec<*const Vec<u32>> = Vec::new();
    let mut codes_of = |codes: &Codes| {
        let at = Arc::as_ptr(codes);
        if seen.contains(&at) {
            return 0;
        }
        seen.push(at);
        codes.len() * size_of::<u32>()
    };
    for column in &batch.columns {
        bytes += match column {
            Column::Const(_) => size_of::<Value>(),
            Column::Plain(values) => values.iter().map(size_of_row).sum(),
            Column::Coded { codes, .. } => codes_of(codes),
            Column::Document(document) => document.layers.iter().map(|layer| codes_of(&layer.codes)).sum(),
            Column::Stemmed(texts) => codes_of(&texts.codes) + texts.tails.len() * size_of::<Uuid>(),
        };
    }
    bytes
}

/// Without what is deep within: that was bounded when it was made.
fn size_of_row(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len() + 16,
            Value::Array(items) => items.len() * size_of::<Value>(),
            Value::Object(members) => members.len() * 3 * size_of::<Value>(),
            _ => 0,
        }
}
