//! Choices, and questions about nothing.

use super::Param::{Any, Bool};
use super::{Function, Returns};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["iff", "iif"], &[Bool, Any, Any], Returns::CommonFrom(1), |_, it| {
        // Neither true nor false is not true.
        it[if it[0].as_bool() == Some(true) { 1 } else { 2 }].clone()
    })
    .sees_null(),
    Function::new(&["case"], &[Bool, Any, Any], Returns::CommonFrom(0), |_, it| {
        let mut pairs = it.chunks_exact(2);
        let chosen = pairs.find(|pair| pair[0].as_bool() == Some(true)).map(|pair| &pair[1]);
        chosen.or(it.last()).cloned().unwrap_or(Value::Null)
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["coalesce"], &[Any], Returns::CommonFrom(0), |_, it| {
        let is_something = |value: &&Value| !value.is_null() && value.as_text() != Some("");
        it.iter().find(is_something).or(it.last()).cloned().unwrap_or(Value::Null)
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["isnull"], &[Any], TRUTH, |_, it| Value::Bool(it[0].is_null())).sees_null(),
    Function::new(&["isnotnull", "notnull"], &[Any], TRUTH, |_, it| Value::Bool(!it[0].is_null()))
        .sees_null(),
    Function::new(&["isempty"], &[Any], TRUTH, |_, it| Value::Bool(is_empty(&it[0]))).sees_null(),
    Function::new(&["isnotempty", "notempty"], &[Any], TRUTH, |_, it| Value::Bool(!is_empty(&it[0])))
        .sees_null(),
    Function::new(&["not"], &[Bool], TRUTH, |_, it| {
        it[0].as_bool().map_or(Value::Null, |truth| Value::Bool(!truth))
    }),
    Function::new(&["max_of"], &[Any], Returns::CommonFrom(0), |_, it| {
        it.iter().filter(|value| !value.is_null()).max().cloned().unwrap_or(Value::Null)
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["min_of"], &[Any], Returns::CommonFrom(0), |_, it| {
        it.iter().filter(|value| !value.is_null()).min().cloned().unwrap_or(Value::Null)
    })
    .rest(Any)
    .sees_null(),
];

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_text() == Some("")
}

const TRUTH: Returns = Returns::Is(Type::Bool);
