//! Values in the making, which stop growing soon after what a value may have.
//!
//! Whoever called the function refuses what became too large, so nothing is cut off silently; these only
//! see to it that no memory is spent on it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::VALUE_BYTES_MAX;
use crate::value::{Bag, Value};

/// A text in the making.
#[derive(Default)]
pub(super) struct MadeText(String);

impl MadeText {
    pub(super) fn push(&mut self, part: &str) {
        if !self.is_full() {
            self.0.push_str(part);
        }
    }

    pub(super) fn push_char(&mut self, part: char) {
        self.push(part.encode_utf8(&mut [0; 4]));
    }

    /// True if it is too large already.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() > VALUE_BYTES_MAX
    }

    pub(super) fn value(self) -> Value {
        Value::text(self.0)
    }
}

/// An array in the making.
#[derive(Default)]
pub(super) struct MadeArray {
    items: Vec<Value>,
    bytes: usize,
}

impl MadeArray {
    pub(super) fn push(&mut self, item: Value) {
        if !self.is_full() {
            self.bytes = self.bytes.saturating_add(weight(&item));
            self.items.push(item);
        }
    }

    /// True if it is too large already.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > VALUE_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn value(self) -> Value {
        Value::array(self.items)
    }
}

impl FromIterator<Value> for MadeArray {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        let mut made = Self::default();
        for item in items {
            made.push(item);
            if made.is_full() {
                break;
            }
        }
        made
    }
}

/// A bag in the making.
#[derive(Debug, Default)]
pub(crate) struct MadeBag {
    members: Bag,
    places: HashMap<Arc<str>, usize>,
}

impl MadeBag {
    /// The member of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.places.get(name).map(|place| &self.members[*place].1)
    }

    /// How many members it has.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The first member of a name counts.
    pub(super) fn add(&mut self, name: Arc<str>, value: Value) {
        if !self.places.contains_key(&name) {
            self.set(name, value);
        }
    }

    /// The last member of a name counts.
    pub(crate) fn set(&mut self, name: Arc<str>, value: Value) {
        match self.places.get(&name) {
            Some(place) => self.members[*place].1 = value,
            None => {
                self.places.insert(Arc::clone(&name), self.members.len());
                self.members.push((name, value));
            }
        }
    }

    pub(crate) fn value(self) -> Value {
        Value::object(self.members)
    }
}

/// What `tostring` makes of it, without a copy where it is text already.
pub(super) fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_text()),
    }
}

/// About as many bytes as the evaluator counts.
pub(super) fn weight(value: &Value) -> usize {
    24 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + 16 + weight(value)).sum(),
        _ => 0,
    }
}
