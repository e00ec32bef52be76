//! Arrays and property bags.

use std::collections::HashSet;
use std::sync::Arc;

use super::Param::{Any, Bool, Dynamic, Long, Text};
use super::text::{long, text};
use super::{Function, Returns, Scratch};
use crate::compute;
use crate::syntax::Operator;
use crate::value::{Bag, Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["array_length", "arraylength"], &[Dynamic], LONG, |_, it| {
        items(&it[0]).map_or(Value::Null, |items| long(items.len()))
    }),
    Function::new(&["array_concat"], &[Dynamic], DYNAMIC, |_, it| {
        let all = it.iter().flat_map(|value| items(value).unwrap_or_default());
        Value::array(all.cloned().collect())
    })
    .rest(Dynamic)
    .sees_null(),
    Function::new(&["array_slice"], &[Dynamic, Long, Long], DYNAMIC, |_, it| {
        let Some(items) = items(&it[0]) else { return Value::Null };
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let place = |at: &Value| {
            let at = at.as_long().unwrap_or(0);
            if at < 0 { at.saturating_add(count) } else { at }
        };
        let (from, to) = (place(&it[1]).max(0), place(&it[2]).min(count - 1));
        let (from, to) = (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(to + 1).unwrap_or(0));
        Value::array(items.get(from..to).unwrap_or_default().to_vec())
    }),
    Function::new(&["array_index_of"], &[Dynamic, Any], LONG, |_, it| {
        let found = items(&it[0]).and_then(|items| items.iter().position(|item| *item == it[1]));
        found.map_or(Value::Long(-1), long)
    })
    .optional(&[Long, Long, Long]),
    Function::new(&["array_sort_asc"], &[Dynamic], DYNAMIC, |_, it| sorted(&it[0], false)).optional(&[Bool]),
    Function::new(&["array_sort_desc"], &[Dynamic], DYNAMIC, |_, it| sorted(&it[0], true)).optional(&[Bool]),
    Function::new(&["array_reverse"], &[Dynamic], DYNAMIC, |_, it| {
        items(&it[0]).map_or(Value::Null, |items| Value::array(items.iter().rev().cloned().collect()))
    }),
    Function::new(&["array_sum"], &[Dynamic], Returns::Is(Type::Real), |_, it| {
        let numbers =
            items(&it[0]).map(|items| items.iter().map(Value::as_number).collect::<Option<Vec<f64>>>());
        numbers.flatten().map_or(Value::Null, |numbers| Value::Real(numbers.iter().sum()))
    }),
    Function::new(&["array_split"], &[Dynamic, Any], DYNAMIC, array_split),
    Function::new(&["array_iff", "array_iif"], &[Dynamic, Any, Any], DYNAMIC, |_, it| {
        let Some(conditions) = items(&it[0]) else { return Value::Null };
        let chosen = conditions.iter().enumerate().map(|(at, condition)| {
            let of = match condition.as_bool() {
                Some(true) => &it[1],
                Some(false) => &it[2],
                None => return Value::Null,
            };
            items(of).map_or_else(|| of.clone(), |items| items.get(at).cloned().unwrap_or(Value::Null))
        });
        Value::array(chosen.collect())
    }),
    Function::new(&["array_rotate_left"], &[Dynamic, Long], DYNAMIC, |_, it| rotated(it, 1)),
    Function::new(&["array_rotate_right"], &[Dynamic, Long], DYNAMIC, |_, it| rotated(it, -1)),
    Function::new(&["array_shift_left"], &[Dynamic, Long], DYNAMIC, |_, it| shifted(it, 1)).optional(&[Any]),
    Function::new(&["array_shift_right"], &[Dynamic, Long], DYNAMIC, |_, it| shifted(it, -1))
        .optional(&[Any]),
    Function::new(&["repeat"], &[Any, Long], DYNAMIC, |_, it| match it[1].as_long() {
        Some(times) if times >= 0 => {
            let times = usize::try_from(times).unwrap_or(usize::MAX).min(ITEMS_MAX);
            Value::array(vec![it[0].clone(); times])
        }
        _ => Value::Null,
    }),
    Function::new(&["range"], &[Any, Any], DYNAMIC, range).optional(&[Any]),
    Function::new(&["zip"], &[Dynamic, Dynamic], DYNAMIC, |_, it| {
        let longest = it.iter().filter_map(items).map(<[Value]>::len).max().unwrap_or(0);
        let row = |at: usize| {
            let of =
                |value: &Value| items(value).and_then(|items| items.get(at)).cloned().unwrap_or(Value::Null);
            Value::array(it.iter().map(of).collect())
        };
        Value::array((0..longest).map(row).collect())
    })
    .rest(Dynamic),
    Function::new(&["bag_keys"], &[Dynamic], DYNAMIC, |_, it| match &it[0] {
        Value::Object(members) => {
            Value::array(members.iter().map(|(name, _)| Value::String(Arc::clone(name))).collect())
        }
        _ => Value::Null,
    }),
    Function::new(&["bag_has_key"], &[Dynamic, Text], TRUTH, |_, it| match &it[0] {
        Value::Object(_) => Value::Bool(it[0].member(text(&it[1])).is_some()),
        _ => Value::Null,
    }),
    Function::new(&["bag_merge"], &[Dynamic], DYNAMIC, |_, it| {
        let mut merged: Bag = Vec::new();
        for (name, value) in it.iter().filter_map(members).flatten() {
            // The first one counts.
            if !merged.iter().any(|(known, _)| known == name) {
                merged.push((Arc::clone(name), value.clone()));
            }
        }
        Value::object(merged)
    })
    .rest(Dynamic)
    .sees_null(),
    Function::new(&["bag_remove_keys"], &[Dynamic, Dynamic], DYNAMIC, |_, it| {
        let (Some(members), Some(keys)) = (members(&it[0]), items(&it[1])) else { return it[0].clone() };
        let is_kept = |name: &Arc<str>| !keys.iter().any(|key| key.as_text() == Some(&**name));
        Value::object(members.iter().filter(|(name, _)| is_kept(name)).cloned().collect())
    }),
    Function::new(&["bag_set_key"], &[Dynamic, Text, Any], DYNAMIC, |_, it| {
        let Some(members) = members(&it[0]) else { return Value::Null };
        let mut members = members.clone();
        let name: Arc<str> = Arc::from(text(&it[1]));
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = it[2].clone(),
            None => members.push((name, it[2].clone())),
        }
        Value::object(members)
    }),
    Function::new(&["bag_pack", "pack", "pack_dictionary"], &[Any, Any], DYNAMIC, |_, it| {
        let mut members: Bag = Vec::new();
        for pair in it.chunks_exact(2) {
            let name: Arc<str> = Arc::from(pair[0].to_text());
            if !members.iter().any(|(known, _)| *known == name) {
                members.push((name, pair[1].clone()));
            }
        }
        Value::object(members)
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["pack_array"], &[Any], DYNAMIC, |_, it| Value::array(it.to_vec())).rest(Any).sees_null(),
    Function::new(&["treepath"], &[Dynamic], DYNAMIC, |_, it| {
        let mut paths = Vec::new();
        tree_paths(&it[0], "", &mut paths);
        Value::array(paths)
    }),
    Function::new(&["set_has_element"], &[Dynamic, Any], TRUTH, |_, it| match items(&it[0]) {
        Some(items) => Value::Bool(items.contains(&it[1])),
        None => Value::Null,
    }),
    Function::new(&["set_union"], &[Dynamic], DYNAMIC, |_, it| {
        distinct(it.iter().flat_map(|value| items(value).unwrap_or_default()))
    })
    .rest(Dynamic)
    .sees_null(),
    Function::new(&["set_intersect"], &[Dynamic, Dynamic], DYNAMIC, |_, it| {
        let sets: Vec<HashSet<&Value>> =
            it.iter().map(|it| items(it).unwrap_or_default().iter().collect()).collect();
        let first = items(&it[0]).unwrap_or_default().iter();
        distinct(first.filter(|item| sets.iter().all(|set| set.contains(item))))
    })
    .rest(Dynamic),
    Function::new(&["set_difference"], &[Dynamic, Dynamic], DYNAMIC, |_, it| {
        let others: HashSet<&Value> = it[1..].iter().flat_map(|it| items(it).unwrap_or_default()).collect();
        distinct(items(&it[0]).unwrap_or_default().iter().filter(|item| !others.contains(item)))
    })
    .rest(Dynamic),
    Function::new(&["set_equals"], &[Dynamic, Dynamic], TRUTH, |_, it| {
        let set = |value: &Value| items(value).unwrap_or_default().iter().cloned().collect::<HashSet<_>>();
        Value::Bool(set(&it[0]) == set(&it[1]))
    }),
    Function::new(&["jaccard_index"], &[Dynamic, Dynamic], Returns::Is(Type::Real), |_, it| {
        let set = |value: &Value| items(value).unwrap_or_default().iter().cloned().collect::<HashSet<_>>();
        let (one, other) = (set(&it[0]), set(&it[1]));
        let both = one.intersection(&other).count();
        let all = one.len() + other.len() - both;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        if all == 0 { Value::Null } else { Value::Real(both as f64 / all as f64) }
    }),
    Function::new(&["dynamic_to_json"], &[Dynamic], Returns::Is(Type::String), |_, it| {
        Value::text(canonical(&it[0]))
    }),
    Function::new(&["extractjson", "extract_json"], &[Text, Text], Returns::Is(Type::String), extract_json)
        .optional(&[Text]),
];

/// The items, if it is an array.
fn items(value: &Value) -> Option<&[Value]> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

fn members(value: &Value) -> Option<&Bag> {
    if let Value::Object(members) = value { Some(members) } else { None }
}

fn distinct<'a>(all: impl Iterator<Item = &'a Value>) -> Value {
    let mut known = HashSet::new();
    Value::array(all.filter(|item| known.insert(*item)).cloned().collect())
}

/// Nulls go last, whichever the order.
fn sorted(value: &Value, is_descending: bool) -> Value {
    let Some(items) = items(value) else { return Value::Null };
    let (nulls, mut others): (Vec<Value>, Vec<Value>) = items.iter().cloned().partition(Value::is_null);
    others.sort();
    if is_descending {
        others.reverse();
    }
    others.extend(nulls);
    Value::array(others)
}

fn rotated(it: &[Value], sign: i64) -> Value {
    let (Some(items), Some(by)) = (items(&it[0]), it[1].as_long()) else { return Value::Null };
    let mut items = items.to_vec();
    if let Ok(count) = i64::try_from(items.len())
        && count > 0
    {
        let by = by.wrapping_mul(sign).rem_euclid(count);
        items.rotate_left(usize::try_from(by).unwrap_or(0));
    }
    Value::array(items)
}

fn shifted(it: &[Value], sign: i64) -> Value {
    let (Some(items), Some(by)) = (items(&it[0]), it[1].as_long()) else { return Value::Null };
    let by = by.saturating_mul(sign);
    let nothing = it.get(2).cloned().unwrap_or(Value::Null);
    let item = |at: usize| {
        let from = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(by);
        usize::try_from(from)
            .ok()
            .and_then(|from| items.get(from))
            .cloned()
            .unwrap_or_else(|| nothing.clone())
    };
    Value::array((0..items.len()).map(item).collect())
}

fn array_split(_: &mut Scratch, it: &[Value]) -> Value {
    let Some(items) = items(&it[0]) else { return Value::Null };
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let places: Vec<Value> = match &it[1] {
        Value::Array(places) => places.to_vec(),
        one => vec![one.clone()],
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for place in places {
        let at = place.as_long().unwrap_or(0);
        let at = if at < 0 { at.saturating_add(count) } else { at }.clamp(0, count);
        let to = usize::try_from(at).unwrap_or(0).max(from);
        parts.push(Value::array(items.get(from..to).unwrap_or_default().to_vec()));
        from = to;
    }
    parts.push(Value::array(items.get(from..).unwrap_or_default().to_vec()));
    Value::array(parts)
}

fn range(_: &mut Scratch, it: &[Value]) -> Value {
    let step = match (it.get(2), &it[0]) {
        (Some(step), _) => step.clone(),
        (None, Value::DateTime(_) | Value::TimeSpan(_)) => Value::TimeSpan(crate::value::TICKS_PER_DAY / 24),
        (None, _) => Value::Long(1),
    };
    let is_down = match &step {
        Value::Long(by) | Value::TimeSpan(by) => *by < 0,
        other => other.as_number().is_some_and(|by| by < 0.0),
    };
    let mut values = Vec::new();
    let mut value = it[0].clone();
    while values.len() < ITEMS_MAX
        && !value.is_null()
        && (if is_down { value >= it[1] } else { value <= it[1] })
    {
        let next = compute::arithmetic(Operator::Add, &value, &step);
        let is_stuck = next == value;
        values.push(value);
        if is_stuck {
            return Value::Null;
        }
        value = next;
    }
    Value::array(values)
}

fn tree_paths(value: &Value, path: &str, paths: &mut Vec<Value>) {
    if paths.len() >= ITEMS_MAX || path.len() > PATH_BYTES_MAX {
        return;
    }
    if !path.is_empty() {
        paths.push(Value::text(path));
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter() {
                tree_paths(value, &format!("{path}['{name}']"), paths);
            }
        }
        Value::Array(items) => {
            for item in items.iter().take(1) {
                tree_paths(item, &format!("{path}[0]"), paths);
            }
        }
        _ => {}
    }
}

/// JSON with its members in order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<&(Arc<str>, Value)> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            let member = |(name, value): &&(Arc<str>, Value)| {
                format!("{}:{}", serde_json::Value::from(&**name), canonical(value))
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_json().to_string(),
    }
}

/// `extractjson('$.a.b[0]', text)`
fn extract_json(_: &mut Scratch, it: &[Value]) -> Value {
    let path = text(&it[0]).trim_start_matches('$');
    let Some(mut value) = Value::parse_json(text(&it[1])) else { return Value::Null };
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
            let Some((inside, after)) = inside.split_once(']') else { return Value::Null };
            (inside.trim_matches(['\'', '"']), after)
        } else {
            let name = rest.trim_start_matches('.');
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        let at = match (&value, step.parse::<i64>()) {
            (Value::Array(_), Ok(at)) => Value::Long(at),
            _ => Value::text(step),
        };
        value = compute::index(&value, &at);
        if step.is_empty() {
            return Value::Null;
        }
        rest = after;
    }
    match it.get(2).and_then(|kind| Type::of(text(kind))) {
        Some(kind) => super::convert(&value, kind),
        None if value.is_null() => Value::Null,
        None => Value::text(value.to_text()),
    }
}

/// As many as `range` and its like make at most; Kusto's own limit.
const ITEMS_MAX: usize = 1_048_576;
const PATH_BYTES_MAX: usize = 4096;

const LONG: Returns = Returns::Is(Type::Long);
const TRUTH: Returns = Returns::Is(Type::Bool);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
