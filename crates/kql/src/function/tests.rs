//! What holds for every function, whatever it is given.

use std::sync::Arc;

use proptest::prelude::*;

use super::bounded::weight;
use super::{Function, MODULES, Param, Returns, Scratch, VALUE_BYTES_MAX, convert};
use crate::value::{Type, Value};

/// Values of all kinds, and the ends of their ranges; texts that mean something to some function.
fn values() -> impl Strategy<Value = Value> {
    let texts = [
        "",
        "a",
        "Käse",
        "1",
        "-1",
        "2.5",
        "$.a.b",
        "$[0]['x",
        "(a)(b)?",
        "(",
        "day",
        "week",
        "year",
        "nanosecond",
        "regex",
        "KB",
        "10.0.0.1/8",
        "::1/64",
        "C:\\a:b.c",
        "a\"b,\"\"c",
        "{\"a\":[1,{\"b\":null}]}",
        "long",
        "windows",
        "\\\\\"",
        "yyyy-MM-dd HH:mm:ss.fffffffff tt",
        "https://u:p@[::1]:80/a?b=c&b#d",
        "S3VzdG8=",
        "%e4+",
        "1.2.3.4",
        "\\1\\9\\",
    ];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => prop_oneof![any::<i64>(), -3_i64..70, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Long),
        2 => prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(-0.5)].prop_map(Value::Real),
        1 => prop_oneof![any::<i64>(), Just(i64::MIN), Just(0)].prop_map(Value::DateTime),
        1 => prop_oneof![any::<i64>(), Just(i64::MIN), Just(0)].prop_map(Value::TimeSpan),
        3 => prop::sample::select(texts.to_vec()).prop_map(Value::text),
        1 => "\\PC{0,12}".prop_map(Value::text),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::array),
            prop::collection::vec(("[ab$.]{0,3}", inner), 0..4).prop_map(|members| {
                Value::object(members.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
            }),
        ]
    })
}

/// As the binder brings arguments to their parameters, and the evaluator leaves nulls out.
fn call(function: &Function, arguments: &[Value], count: usize) -> Value {
    let (least, most) = function.arity();
    let count = count.clamp(least, most.unwrap_or(least + 4));
    let brought = |(position, value): (usize, &Value)| match function.param(position).unwrap_or(Param::Any) {
        Param::Any | Param::Dynamic => value.clone(),
        Param::Bool => convert(value, Type::Bool),
        Param::Long => convert(value, Type::Long),
        Param::Real => convert(value, Type::Real),
        Param::Number => match value {
            Value::Long(_) | Value::Real(_) => value.clone(),
            other => convert(other, Type::Real),
        },
        Param::Text => convert(value, Type::String),
        Param::DateTime => convert(value, Type::DateTime),
        Param::TimeSpan => convert(value, Type::TimeSpan),
    };
    let brought: Vec<Value> = arguments.iter().cycle().take(count).enumerate().map(brought).collect();
    if !function.sees_null && brought.iter().any(Value::is_null) {
        return Value::Null;
    }
    (function.call)(&mut Scratch::new(0), &brought)
}

fn functions() -> impl Iterator<Item = &'static Function> {
    MODULES.iter().flat_map(|module| module.iter())
}

/// True if a value may stand in a column of the type.
fn is_of(value: &Value, kind: Type) -> bool {
    matches!(
        (value, kind),
        (Value::Null, _)
            | (_, Type::Dynamic)
            | (Value::Bool(_), Type::Bool)
            | (Value::Long(_), Type::Int | Type::Long)
            | (Value::Real(_), Type::Real | Type::Decimal)
            | (Value::String(_), Type::String | Type::Guid)
            | (Value::DateTime(_), Type::DateTime)
            | (Value::TimeSpan(_), Type::TimeSpan)
    )
}

proptest! {
    #![proptest_config(testkit::cases(192))]

    /// No panic, nothing much larger than a value may be, and of the type that was promised.
    #[test]
    fn every_function_bears_every_argument(
        arguments in prop::collection::vec(values(), 1..7),
        count in 0_usize..7,
    ) {
        for function in functions() {
            let value = call(function, &arguments, count);
            prop_assert!(weight(&value) <= 3 * VALUE_BYTES_MAX, "{} of {arguments:?}", function.names[0]);
            if let Returns::Is(kind) = function.returns {
                prop_assert!(is_of(&value, kind), "{} of {arguments:?} is {value:?}", function.names[0]);
            }
        }
    }
}

#[test]
fn every_name_is_in_lower_case_and_means_one_function() {
    let mut names: Vec<&str> = functions().flat_map(|function| function.names).copied().collect();
    let count = names.len();
    assert!(
        names
            .iter()
            .all(|name| name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_'))
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
