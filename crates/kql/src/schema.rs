//! The types that are found in documents, for `buildschema`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::value::{Bag, Value};

/// What stands in one place of the documents seen so far.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    scalars: Vec<&'static str>,
    members: Vec<(Arc<str>, Self)>,
    places: HashMap<Arc<str>, usize>,
    items: Option<Box<Self>>,
    is_bag: bool,
}

impl Schema {
    /// Takes a document into account; the answer is how many bytes more are held. Documents are no deeper
    /// than values may be.
    pub(crate) fn add(&mut self, value: &Value) -> usize {
        match value {
            Value::Null => 0,
            Value::Object(members) => {
                self.is_bag = true;
                let each = members.iter().map(|(name, value)| {
                    let known = self.places.get(name).copied();
                    let place = known.unwrap_or_else(|| {
                        self.places.insert(Arc::clone(name), self.members.len());
                        self.members.push((Arc::clone(name), Self::default()));
                        self.members.len() - 1
                    });
                    let new = if known.is_none() { name.len() + 2 * size_of::<Self>() } else { 0 };
                    new + self.members[place].1.add(value)
                });
                each.sum()
            }
            Value::Array(items) => {
                let new = if self.items.is_none() { size_of::<Self>() } else { 0 };
                let within = self.items.get_or_insert_default();
                new + items.iter().map(|item| within.add(item)).sum::<usize>()
            }
            scalar => {
                let name = scalar.type_name();
                if !self.scalars.contains(&name) {
                    self.scalars.push(name);
                }
                0
            }
        }
    }

    /// As Kusto writes it: the type, or the types if there are several. A bag is the types of its members,
    /// an array that of its items under the name `` `indexer` ``.
    pub(crate) fn value(self) -> Value {
        let mut kinds: Vec<Value> = self.scalars.into_iter().map(Value::text).collect();
        if self.is_bag {
            let members = self.members.into_iter().map(|(name, schema)| (name, schema.value()));
            kinds.push(Value::object(members.collect()));
        }
        if let Some(items) = self.items {
            let indexer: Bag = vec![(Arc::from("`indexer`"), items.value())];
            kinds.push(Value::object(indexer));
        }
        match kinds.len() {
            0 => Value::Null,
            1 => kinds.remove(0),
            _ => Value::array(kinds),
        }
    }
}
