//! Property bags, and documents as a whole.
//!
//! A key is the name of a member, or a path to one (`$.a['b c']`); a path through arrays is none, except in
//! `extractjson`.

use std::collections::HashSet;
use std::sync::Arc;

use super::Param::{Any, Bool, Dynamic, Text};
use super::array::items;
use super::bounded::{MadeArray, MadeBag, MadeText, weight, written};
use super::text::text;
use super::{Function, Returns, Scratch, convert};
use crate::compute;
use crate::value::{Bag, Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["bag_keys"], &[Dynamic], DYNAMIC, |_, it| match &it[0] {
        Value::Object(members) => {
            Value::array(members.iter().map(|(name, _)| Value::String(Arc::clone(name))).collect())
        }
        _ => Value::Null,
    }),
    Function::new(&["bag_has_key"], &[Dynamic, Text], Returns::Is(Type::Bool), |_, it| {
        let Some(path) = key(text(&it[1])) else { return Value::Bool(false) };
        let found = path.iter().try_fold(&it[0], |value, step| value.member(step));
        Value::Bool(found.is_some())
    }),
    Function::new(&["bag_merge"], &[Dynamic], DYNAMIC, |_, it| {
        let mut merged = MadeBag::default();
        for (name, value) in it.iter().filter_map(members).flatten() {
            merged.add(Arc::clone(name), value.clone());
        }
        merged.value()
    })
    .rest(Dynamic)
    .sees_null(),
    Function::new(&["bag_remove_keys"], &[Dynamic, Dynamic], DYNAMIC, |scratch, it| {
        if members(&it[0]).is_none() {
            return Value::Null;
        }
        let keys = items(&it[1]).unwrap_or_default().iter().filter_map(Value::as_text).filter_map(key);
        let (names, paths): (Vec<_>, Vec<_>) = keys.partition(|path| path.len() == 1);
        // Each path copies the bag.
        if !scratch.affords(weight(&it[0]), paths.len()) {
            return Value::Null;
        }
        let names: HashSet<&str> = names.into_iter().flatten().collect();
        let kept = members(&it[0]).into_iter().flatten().filter(|(name, _)| !names.contains(&**name));
        paths.iter().fold(Value::object(kept.cloned().collect()), |value, path| without(&value, path))
    }),
    Function::new(&["bag_set_key"], &[Dynamic, Text, Any], DYNAMIC, |_, it| {
        match (members(&it[0]), key(text(&it[1]))) {
            (Some(_), Some(path)) => with(&it[0], &path, &it[2]),
            _ => Value::Null,
        }
    })
    .sees_null(),
    Function::new(&["bag_pack", "pack", "pack_dictionary"], &[Any, Any], DYNAMIC, |scratch, it| {
        if it.len() % 2 != 0 {
            scratch
                .fail("bag_pack() takes pairs of a key and a value: one argument is left over.".to_owned());
        }
        let mut members = MadeBag::default();
        for pair in it.chunks_exact(2) {
            members.add(Arc::from(written(&pair[0])), pair[1].clone());
        }
        members.value()
    })
    .rest(Any)
    .sees_null(),
    // The binder puts in the names and values of all columns.
    Function::new(&["pack_all"], &[Bool], DYNAMIC, |_, it| {
        let is_nothing = |value: &Value| value.is_null() || value.as_text() == Some("");
        let leaves_out = it[0].as_bool() == Some(true);
        let mut members = MadeBag::default();
        for pair in it[1..].chunks_exact(2).filter(|pair| !(leaves_out && is_nothing(&pair[1]))) {
            members.add(Arc::from(written(&pair[0])), pair[1].clone());
        }
        members.value()
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["bag_zip"], &[Dynamic, Dynamic], DYNAMIC, |_, it| {
        let (Some(names), values) = (items(&it[0]), items(&it[1]).unwrap_or_default()) else {
            return Value::Null;
        };
        let mut members = MadeBag::default();
        for (at, name) in names.iter().enumerate() {
            if let Value::String(name) = name {
                members.add(Arc::clone(name), values.get(at).cloned().unwrap_or(Value::Null));
            }
        }
        members.value()
    }),
    Function::new(&["treepath"], &[Dynamic], DYNAMIC, |_, it| {
        let mut paths = Paths::default();
        paths.collect(&it[0], "");
        paths.found.value()
    })
    .prefixes_name("tree"),
    Function::new(&["dynamic_to_json"], &[Dynamic], Returns::Is(Type::String), |_, it| match &it[0] {
        Value::Array(_) | Value::Object(_) => {
            let mut json = MadeText::default();
            canonical(&it[0], &mut json);
            json.value()
        }
        scalar => Value::text(written(scalar)),
    }),
    Function::new(&["extractjson", "extract_json"], &[Text, Text], Returns::Named(2), extract_json)
        .optional(&[Text]),
];

pub(super) fn members(value: &Value) -> Option<&Bag> {
    if let Value::Object(members) = value { Some(members) } else { None }
}

/// The names that lead to a member. `None` if it is no path, or a longer one than documents are deep.
fn key(text: &str) -> Option<Vec<&str>> {
    match text.strip_prefix('$') {
        Some(rest) if rest.starts_with(['.', '[']) => steps(rest),
        _ => Some(vec![text]),
    }
}

/// The steps of `.a.b[0]['c']`.
fn steps(path: &str) -> Option<Vec<&str>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
            match inside.chars().next() {
                Some(quote @ ('\'' | '"')) => {
                    let (name, after) = inside.get(1..)?.split_once(quote)?;
                    (name, after.strip_prefix(']')?)
                }
                _ => inside.split_once(']')?,
            }
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        if step.is_empty() || steps.len() >= STEPS_MAX {
            return None;
        }
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

fn without(value: &Value, path: &[&str]) -> Value {
    let (Some(members), Some((first, rest))) = (members(value), path.split_first()) else {
        return value.clone();
    };
    let kept = members.iter().filter_map(|(name, value)| match **name == **first {
        true if rest.is_empty() => None,
        true => Some((Arc::clone(name), without(value, rest))),
        false => Some((Arc::clone(name), value.clone())),
    });
    Value::object(kept.collect())
}

fn with(value: &Value, path: &[&str], set: &Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return set.clone() };
    let mut members = members(value).cloned().unwrap_or_default();
    match members.iter_mut().find(|(name, _)| **name == **first) {
        Some((_, value)) => *value = with(value, rest, set),
        None => members.push((Arc::from(*first), with(&Value::Null, rest, set))),
    }
    Value::object(members)
}

/// The paths within a document, each once: all items of an array share theirs.
#[derive(Default)]
struct Paths {
    found: MadeArray,
    known: HashSet<Arc<str>>,
}

impl Paths {
    fn collect(&mut self, value: &Value, path: &str) {
        if self.found.is_full() {
            return;
        }
        if !path.is_empty() && !self.known.contains(path) {
            let path: Arc<str> = Arc::from(path);
            self.known.insert(Arc::clone(&path));
            self.found.push(Value::String(path));
        }
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| self.collect(value, &format!("{path}['{name}']")));
            }
            Value::Array(items) => {
                let path = format!("{path}[0]");
                items.iter().for_each(|item| self.collect(item, &path));
            }
            _ => {}
        }
    }
}

/// JSON with its members in order of their names.
fn canonical(value: &Value, json: &mut MadeText) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<&(Arc<str>, Value)> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            json.push("{");
            for (at, (name, value)) in members.into_iter().enumerate() {
                json.push(if at == 0 { "" } else { "," });
                json.push(&serde_json::Value::from(&**name).to_string());
                json.push(":");
                canonical(value, json);
            }
            json.push("}");
        }
        Value::Array(items) => {
            json.push("[");
            for (at, item) in items.iter().enumerate() {
                json.push(if at == 0 { "" } else { "," });
                canonical(item, json);
            }
            json.push("]");
        }
        other => json.push(&other.to_json().to_string()),
    }
}

/// `extractjson('$.a.b[0]', text)`
fn extract_json(_: &mut Scratch, it: &[Value]) -> Value {
    let path = text(&it[0]);
    let (Some(steps), Some(document)) =
        (steps(path.strip_prefix('$').unwrap_or(path)), Value::parse_json(text(&it[1])))
    else {
        return Value::Null;
    };
    let found = steps.iter().fold(document, |value, step| {
        let at = match (&value, step.parse::<i64>()) {
            (Value::Array(_), Ok(at)) => Value::Long(at),
            _ => Value::text(step),
        };
        compute::index(&value, &at)
    });
    convert(&found, it.get(2).and_then(|kind| Type::of(text(kind))).unwrap_or(Type::String))
}

/// As deep as JSON is read.
const STEPS_MAX: usize = 128;

const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
