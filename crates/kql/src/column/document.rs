//! Columns of JSON documents that stay text until something in them is asked for.
//!
//! A document is made of layers that are laid over each other: what a finding says is the same in every
//! image that has it, and what an image says is the same for all its findings. Each layer is a text a
//! distinct document and a code a row, so that a path is looked up once a distinct text, whatever the
//! number of rows, and a lookup that was made once is kept with the texts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::json_text;
use crate::column::blocks::Blocks;
use crate::column::{Codes, Column, Dictionary, Gathered};
use crate::value::{Bag, Value};

/// Distinct JSON texts, and where the paths that were asked for are in them.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Blocks<Arc<str>>,
    paths: Mutex<HashMap<Vec<Arc<str>>, Arc<Found>>>,
}

impl Texts {
    /// These texts, each a JSON document as `serde_json` writes it. What is not JSON reads as null.
    #[must_use]
    pub fn new(texts: Vec<Arc<str>>) -> Self {
        Self { texts: Blocks::of(texts), paths: Mutex::default() }
    }

    /// These texts and more behind them. What was looked up in these is not looked up again.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Arc<str>>) -> Self {
        let new: Vec<Arc<str>> = more.into_iter().collect();
        let texts = self.texts.with(new.iter().cloned());
        let known = self.lock();
        let grown = known.iter().map(|(path, found)| {
            let span = |text: &Arc<str>| {
                path.iter().fold(json_text::whole(text), |within, name| json_text::member(text, within, name))
            };
            let grown = found.with(new.iter().map(|text| (span(text), text)));
            for (known, grown) in [(&found.values, &grown.values), (&found.names, &grown.names)] {
                if let Some(known) = known.get() {
                    // A fresh cell is empty: setting it cannot fail.
                    let _ = grown.set(Arc::new(known.grown(texts.len())));
                }
            }
            (path.clone(), Arc::new(grown))
        });
        let paths = grown.collect();
        drop(known);
        Self { texts, paths: Mutex::new(paths) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// About how many bytes of memory the texts take; what was looked up comes on top.
    #[must_use]
    pub fn size(&self) -> usize {
        self.texts.iter().map(|text| text.len() + 32).sum()
    }

    /// Where each text has this path.
    pub(crate) fn find(&self, path: &[Arc<str>]) -> Arc<Found> {
        if let Some(found) = self.lock().get(path) {
            return Arc::clone(found);
        }
        let found = Arc::new(match path.split_last() {
            None => Found::default().with(self.texts.iter().map(|text| (json_text::whole(text), text))),
            Some((name, parent)) => {
                let parent = self.find(parent);
                let spans = self.texts.iter().zip(parent.spans.iter());
                Found::default().with(spans.map(|(text, span)| (json_text::member(text, *span, name), text)))
            }
        });
        let mut paths = self.lock();
        if paths.len() >= PATHS_MAX {
            paths.clear();
        }
        paths.insert(path.to_vec(), Arc::clone(&found));
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<Arc<str>>, Arc<Found>>> {
        // What is behind it is a cache: a panic elsewhere cannot have left it half done.
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One path in each of the texts.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it is: empty where it is not.
    spans: Blocks<json_text::Span>,
    is_anywhere: bool,
    /// Wherever there is something, it is a bag.
    is_bags: bool,
    values: OnceLock<Arc<Dictionary>>,
    /// What the members are called, as arrays.
    names: OnceLock<Arc<Dictionary>>,
}

impl Default for Found {
    /// In no text.
    fn default() -> Self {
        Self {
            spans: Blocks::default(),
            is_anywhere: false,
            is_bags: true,
            values: OnceLock::new(),
            names: OnceLock::new(),
        }
    }
}

impl Found {
    /// The same with more texts, and where it is in them.
    fn with<'a>(&self, more: impl Iterator<Item = (json_text::Span, &'a Arc<str>)>) -> Self {
        let (mut is_anywhere, mut is_bags) = (self.is_anywhere, self.is_bags);
        let spans = self.spans.with(more.map(|(span, text)| {
            let found = span.of(text);
            if !found.is_empty() && found != "null" {
                is_anywhere = true;
                is_bags &= found.starts_with('{');
            }
            span
        }));
        Self { spans, is_anywhere, is_bags, ..Self::default() }
    }

    /// Where the values go, or the names of members.
    fn dictionary<'a>(&self, of: &'a OnceLock<Arc<Dictionary>>) -> &'a Arc<Dictionary> {
        of.get_or_init(|| Arc::new(Dictionary::unknown(self.spans.len())))
    }

    /// What stands there in the text of a code; nothing if it is not there.
    pub(crate) fn text<'a>(&self, texts: &'a Texts, code: u32) -> &'a str {
        match (self.spans.get(code as usize), texts.texts.get(code as usize)) {
            (Some(span), Some(text)) => span.of(text),
            _ => "",
        }
    }

    fn parse(&self, texts: &Texts, code: u32) -> Value {
        Value::parse_json(self.text(texts, code)).unwrap_or(Value::Null)
    }
}

/// What was seen of some words in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trace {
    /// There is no text.
    Nothing,
    HasNot,
    Has,
    /// They are there as they are asked for.
    Passes,
}

/// A layer: which of the texts, a row.
#[derive(Clone, Debug)]
pub struct Layer {
    /// A code a row.
    pub codes: Codes,
    /// What the codes point into.
    pub texts: Arc<Texts>,
}

/// Documents, or one path in each of them.
#[derive(Clone, Debug)]
pub struct Document {
    pub(crate) layers: Vec<Layer>,
    pub(crate) path: Vec<Arc<str>>,
}

impl Document {
    /// Documents of these layers: bags are merged, and elsewhere the later layer hides the earlier.
    #[must_use]
    pub fn new(layers: Vec<Layer>) -> Self {
        Self { layers, path: Vec::new() }
    }

    /// The member of that name in each document, whose layers must be apart.
    #[must_use]
    pub fn member(&self, name: &Arc<str>) -> Self {
        let mut path = self.path.clone();
        path.push(Arc::clone(name));
        Self { layers: self.layers.clone(), path }
    }

    /// True if there is nothing but bags and nulls.
    #[must_use]
    pub fn holds_bags(&self) -> bool {
        self.layers.iter().all(|layer| layer.texts.find(&self.path).is_bags)
    }

    /// True if a member can be looked for layer by layer: nothing in one layer but a bag hides what another has.
    #[must_use]
    pub fn has_layers_apart(&self) -> bool {
        self.layers.len() < 2 || self.holds_bags()
    }

    /// The rows at these positions, in this order.
    #[must_use]
    pub fn select(&self, rows: &[u32], gathered: &mut Gathered) -> Self {
        let select = |layer: &Layer| Layer {
            codes: gathered.select(&layer.codes, rows),
            texts: Arc::clone(&layer.texts),
        };
        Self { layers: self.layers.iter().map(select).collect(), path: self.path.clone() }
    }

    /// The value in one row.
    #[must_use]
    pub fn get(&self, row: usize) -> Value {
        let found = self.layers.iter().map(|layer| {
            let code = layer.codes.get(row).copied().unwrap_or(u32::MAX);
            layer.texts.find(&self.path).parse(&layer.texts, code)
        });
        found.fold(Value::Null, merge)
    }

    /// What the members of each layer's bags are called, as arrays; null where there is no bag.
    pub(crate) fn names(&self) -> Vec<Column> {
        let found = self.layers.iter().map(|layer| (layer, layer.texts.find(&self.path)));
        let names = found.map(|(layer, found)| {
            if !found.is_anywhere {
                return Column::Const(Value::Null);
            }
            let names = found.dictionary(&found.names);
            // Most bags have the names that the one before has.
            let mut last = (Vec::new(), Value::Null);
            names.fill(&layer.codes, |_, code| {
                let Some(these) = json_text::names(found.text(&layer.texts, code)) else {
                    return Value::Null;
                };
                if last.1.is_null() || these != last.0 {
                    last.1 = Value::array(these.iter().map(|name| Value::text(name.as_str())).collect());
                    last.0 = these;
                }
                last.1.clone()
            });
            Column::Coded { codes: Arc::clone(&layer.codes), values: Arc::clone(names) }
        });
        names.collect()
    }

    /// The values: a code a row where only one layer has the path.
    #[must_use]
    pub fn values(&self) -> Column {
        let found: Vec<(&Layer, Arc<Found>)> =
            self.layers.iter().map(|layer| (layer, layer.texts.find(&self.path))).collect();
        let holding: Vec<&(&Layer, Arc<Found>)> =
            found.iter().filter(|(_, found)| found.is_anywhere).collect();
        match holding.as_slice() {
            [] => Column::Const(Value::Null),
            [(layer, found)] => {
                let values = found.dictionary(&found.values);
                values.fill(&layer.codes, |_, code| found.parse(&layer.texts, code));
                Column::Coded { codes: Arc::clone(&layer.codes), values: Arc::clone(values) }
            }
            several => {
                let rows = self.layers.first().map_or(0, |layer| layer.codes.len());
                let value = |row: usize| {
                    let values = several.iter().map(|(layer, found)| {
                        let code = layer.codes.get(row).copied().unwrap_or(u32::MAX);
                        found.parse(&layer.texts, code)
                    });
                    values.fold(Value::Null, merge)
                };
                Column::plain((0..rows).map(value).collect())
            }
        }
    }
}

/// Lays one value over another.
fn merge(below: Value, above: Value) -> Value {
    match (below, above) {
        (below, Value::Null) => below,
        (Value::Object(below), Value::Object(above)) => {
            let mut members: Bag = (*below).clone();
            for (name, value) in above.iter() {
                match members.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = merge(known.clone(), value.clone()),
                    None => members.push((Arc::clone(name), value.clone())),
                }
            }
            Value::object(members)
        }
        (_, above) => above,
    }
}

/// Looked-up paths that are kept with the texts. A dashboard asks for a dozen.
const PATHS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(codes: &[u32], texts: &[&str]) -> Layer {
        let texts = texts.iter().map(|text| Arc::from(*text)).collect();
        Layer { codes: Arc::new(codes.to_vec()), texts: Arc::new(Texts::new(texts)) }
    }

    fn show(column: &Column, rows: usize) -> String {
        let values: Vec<String> = (0..rows).map(|row| column.get(row).to_json().to_string()).collect();
        values.join(" ")
    }

    #[test]
    fn texts_that_grow_keep_what_was_found() {
        let document = |codes: &[u32], texts: &Arc<Texts>| {
            let layer = Layer { codes: Arc::new(codes.to_vec()), texts: Arc::clone(texts) };
            Document::new(vec![layer]).member(&Arc::from("a")).member(&Arc::from("b"))
        };
        let texts = Arc::new(Texts::new(vec![r#"{"a":{"b":1}}"#.into(), r#"{"c":2}"#.into()]));
        assert_eq!(show(&document(&[0, 1], &texts).values(), 2), "1 null");
        let grown = Arc::new(texts.with([r#"{"a":{"b":[3]}}"#.into()]));
        assert_eq!(show(&document(&[2, 0, 1], &grown).values(), 3), "[3] 1 null");
        assert_eq!((texts.len(), grown.len()), (2, 3));
    }

    #[test]
    fn a_path_in_one_layer_is_coded_and_a_bag_in_two_is_merged() {
        let document = Document::new(vec![
            layer(
                &[0, 1, 0],
                &[r#"{"status":{"code":"Unhealthy"},"a":{"x":1}}"#, r#"{"status":{"code":"Healthy"}}"#],
            ),
            layer(
                &[0, 0, 1],
                &[r#"{"a":{"digest":"one","é\"q":[1, {"]":2}]}}"#, r#"{"a":{"digest":"two"}}"#],
            ),
        ]);
        let at = |path: &[&str]| {
            path.iter().fold(document.clone(), |document, name| document.member(&Arc::from(*name)))
        };
        let code = at(&["status", "code"]).values();
        assert!(matches!(code, Column::Coded { .. }));
        assert_eq!(show(&code, 3), r#""Unhealthy" "Healthy" "Unhealthy""#);
        assert_eq!(show(&at(&["a", "digest"]).values(), 3), r#""one" "one" "two""#);
        assert_eq!(show(&at(&["a", "é\"q"]).values(), 3), r#"[1,{"]":2}] [1,{"]":2}] null"#);
        assert_eq!(
            show(&at(&["a"]).values(), 3),
            r#"{"x":1,"digest":"one","é\"q":[1,{"]":2}]} {"digest":"one","é\"q":[1,{"]":2}]} {"x":1,"digest":"two"}"#
        );
        assert!(matches!(at(&["nowhere", "at all"]).values(), Column::Const(Value::Null)));
        let some = at(&["a", "x"]).select(&[2, 1], &mut Gathered::default());
        assert_eq!(show(&some.values(), 2), "1 null");
    }
}
