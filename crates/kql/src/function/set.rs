//! Arrays as sets: each value once, in the order in which they came.

use std::collections::HashSet;

use super::Param::{Any, Dynamic};
use super::array::items;
use super::{Function, Returns};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
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
        let sets: Vec<HashSet<&Value>> = it[1..].iter().map(set).collect();
        let first = items(&it[0]).unwrap_or_default().iter();
        distinct(first.filter(|item| sets.iter().all(|set| set.contains(item))))
    })
    .rest(Dynamic),
    Function::new(&["set_difference"], &[Dynamic, Dynamic], DYNAMIC, |_, it| {
        let others: HashSet<&Value> = it[1..].iter().flat_map(set).collect();
        distinct(items(&it[0]).unwrap_or_default().iter().filter(|item| !others.contains(item)))
    })
    .rest(Dynamic),
    Function::new(&["set_equals"], &[Dynamic, Dynamic], TRUTH, |_, it| {
        Value::Bool(set(&it[0]) == set(&it[1]))
    }),
    Function::new(&["jaccard_index"], &[Dynamic, Dynamic], Returns::Is(Type::Real), |_, it| {
        let (one, other) = (set(&it[0]), set(&it[1]));
        let both = one.intersection(&other).count();
        let all = one.len() + other.len() - both;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        if all == 0 { Value::Null } else { Value::Real(both as f64 / all as f64) }
    }),
];

fn set(value: &Value) -> HashSet<&Value> {
    items(value).unwrap_or_default().iter().collect()
}

fn distinct<'a>(all: impl Iterator<Item = &'a Value>) -> Value {
    let mut known = HashSet::new();
    Value::array(all.filter(|item| known.insert(*item)).cloned().collect())
}

const TRUTH: Returns = Returns::Is(Type::Bool);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
