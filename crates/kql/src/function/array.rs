//! Arrays.

use super::Param::{Any, Dynamic, Long};
use super::bounded::{MadeArray, weight};
use super::text::long;
use super::{Function, Returns, Scratch, VALUE_BYTES_MAX, convert};
use crate::compute;
use crate::syntax::Operator;
use crate::value::{TICKS_PER_DAY, Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["array_length", "arraylength"], &[Dynamic], LONG, |_, it| {
        items(&it[0]).map_or(Value::Null, |items| long(items.len()))
    }),
    Function::new(&["array_concat"], &[Dynamic], DYNAMIC, |_, it| {
        let all = it.iter().flat_map(|value| items(value).unwrap_or_default());
        all.cloned().collect::<MadeArray>().value()
    })
    .rest(Dynamic)
    .sees_null(),
    Function::new(&["array_slice"], &[Dynamic, Long, Long], DYNAMIC, |_, it| {
        let Some(items) = items(&it[0]) else { return Value::Null };
        let at = |at: &Value| place(at.as_long().unwrap_or(0), items.len());
        let from = usize::try_from(at(&it[1]).max(0)).unwrap_or(usize::MAX);
        // The end belongs to the slice.
        let to = usize::try_from(at(&it[2]).saturating_add(1)).unwrap_or(0).min(items.len());
        Value::array(items.get(from..to).unwrap_or_default().to_vec())
    }),
    Function::new(&["array_index_of"], &[Dynamic, Any], LONG, index_of).optional(&[Long, Long, Long]),
    Function::new(&["array_sort_asc"], &[Dynamic], DYNAMIC, |_, it| sorted(it, false)).rest(Any),
    Function::new(&["array_sort_desc"], &[Dynamic], DYNAMIC, |_, it| sorted(it, true)).rest(Any),
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
            let of = match condition {
                Value::Bool(_) | Value::Long(_) | Value::Real(_) => match convert(condition, Type::Bool) {
                    Value::Bool(true) => &it[1],
                    _ => &it[2],
                },
                _ => return Value::Null,
            };
            items(of).map_or_else(|| of.clone(), |items| items.get(at).cloned().unwrap_or(Value::Null))
        });
        Value::array(chosen.collect())
    })
    .sees_null(),
    Function::new(&["array_rotate_left"], &[Dynamic, Long], DYNAMIC, |_, it| rotated(it, 1)),
    Function::new(&["array_rotate_right"], &[Dynamic, Long], DYNAMIC, |_, it| rotated(it, -1)),
    Function::new(&["array_shift_left"], &[Dynamic, Long], DYNAMIC, |_, it| shifted(it, 1)).optional(&[Any]),
    Function::new(&["array_shift_right"], &[Dynamic, Long], DYNAMIC, |_, it| shifted(it, -1))
        .optional(&[Any]),
    Function::new(&["repeat"], &[Any, Long], DYNAMIC, |_, it| match it[1].as_long() {
        Some(times) if times >= 0 => {
            // One more than a value may have is refused; more still would only take longer.
            let most = VALUE_BYTES_MAX / weight(&it[0]) + 1;
            Value::array(vec![it[0].clone(); usize::try_from(times).unwrap_or(usize::MAX).min(most)])
        }
        _ => Value::Null,
    })
    .prefixes_name("repeat"),
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
    Function::new(&["pack_array"], &[Any], DYNAMIC, |_, it| Value::array(it.to_vec())).rest(Any).sees_null(),
];

/// The items, if it is an array.
pub(crate) fn items(value: &Value) -> Option<&[Value]> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

fn index_of(_: &mut Scratch, it: &[Value]) -> Value {
    let Some(items) = items(&it[0]) else { return Value::Null };
    let given = |at: usize| it.get(at).and_then(Value::as_long);
    let (start, length) = (given(2).unwrap_or(0), given(3).unwrap_or(-1));
    let Ok(occurrence) = usize::try_from(given(4).unwrap_or(1)) else { return Value::Null };
    if length < -1 {
        return Value::Null;
    }
    let start = place(start, items.len()).max(0);
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    // -1 means all of them.
    let take = usize::try_from(length).unwrap_or(usize::MAX);
    let mut places = items.iter().enumerate().skip(skip).take(take).filter(|(_, item)| **item == it[1]);
    let found = occurrence.checked_sub(1).and_then(|before| places.nth(before));
    found.map_or(Value::Long(-1), |(at, _)| long(at))
}

/// A position that counts from the end if it is negative; still negative if it is before the first.
fn place(at: i64, count: usize) -> i64 {
    if at < 0 { at.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)) } else { at }
}

/// The first array sorted, and the others in the same order; those of another length become null. Nulls go
/// last, whichever the order, unless the last argument is `false`.
fn sorted(it: &[Value], is_descending: bool) -> Value {
    let (arrays, nulls_last) = match it.split_last() {
        Some((Value::Bool(last), arrays)) => (arrays, *last),
        _ => (it, true),
    };
    let Some(first) = arrays.first().and_then(items) else { return Value::Null };
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|one, other| {
        let (one, other) = (&first[*one], &first[*other]);
        match (one.is_null(), other.is_null()) {
            (true, false) if nulls_last => std::cmp::Ordering::Greater,
            (false, true) if nulls_last => std::cmp::Ordering::Less,
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            _ if is_descending => (sort_rank(other), other).cmp(&(sort_rank(one), one)),
            _ => (sort_rank(one), one).cmp(&(sort_rank(other), other)),
        }
    });
    let mut sorted = arrays.iter().map(|array| match items(array) {
        Some(items) if items.len() == order.len() => {
            Value::array(order.iter().map(|at| items[*at].clone()).collect())
        }
        _ => Value::Null,
    });
    if arrays.len() == 1 { sorted.next().unwrap_or(Value::Null) } else { Value::array(sorted.collect()) }
}

/// Numbers and times come before text, and text before the rest.
fn sort_rank(value: &Value) -> u8 {
    match value {
        Value::Long(_) | Value::Real(_) | Value::DateTime(_) | Value::TimeSpan(_) => 0,
        Value::String(_) => 1,
        _ => 2,
    }
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
    let is_text = !items.is_empty() && items.iter().all(|item| item.as_text().is_some());
    let nothing = it.get(2).cloned().unwrap_or(if is_text { Value::text("") } else { Value::Null });
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
    let places: Vec<Value> = match &it[1] {
        Value::Array(places) => places.to_vec(),
        one => vec![one.clone()],
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for index in places {
        let at = place(index.as_long().unwrap_or(0), items.len()).max(0);
        let to = usize::try_from(at).unwrap_or(usize::MAX).min(items.len()).max(from);
        parts.push(Value::array(items.get(from..to).unwrap_or_default().to_vec()));
        from = to;
    }
    parts.push(Value::array(items.get(from..).unwrap_or_default().to_vec()));
    Value::array(parts)
}

fn range(_: &mut Scratch, it: &[Value]) -> Value {
    let step = match (it.get(2), &it[0]) {
        (Some(step), _) => step.clone(),
        (None, Value::DateTime(_) | Value::TimeSpan(_)) => Value::TimeSpan(TICKS_PER_DAY / 24),
        (None, _) => Value::Long(1),
    };
    let is_down = match &step {
        Value::Long(by) | Value::TimeSpan(by) => *by < 0,
        other => other.as_number().is_some_and(|by| by < 0.0),
    };
    let mut values = MadeArray::default();
    let mut value = it[0].clone();
    while !values.is_full() && !value.is_null() && (if is_down { value >= it[1] } else { value <= it[1] }) {
        let next = compute::arithmetic(Operator::Add, &value, &step);
        // Without a step it would never end.
        if next == value {
            return Value::Null;
        }
        values.push(std::mem::replace(&mut value, next));
    }
    values.value()
}

const LONG: Returns = Returns::Is(Type::Long);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
