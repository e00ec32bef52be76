//! Operators on two values.

use std::cmp::Ordering;

use crate::function::convert;
use crate::syntax::Operator;
use crate::value::{Type, Value};

/// The type of a sum, a product and so on; `None` if there is none.
pub(crate) fn arithmetic_type(operator: Operator, left: Type, right: Type) -> Option<Type> {
    use Type::{DateTime, Dynamic, Long, Real, TimeSpan};
    Some(match (operator, left, right) {
        (Operator::Add, DateTime, TimeSpan)
        | (Operator::Add, TimeSpan, DateTime)
        | (Operator::Subtract, DateTime, TimeSpan) => DateTime,
        (Operator::Subtract, DateTime, DateTime)
        | (Operator::Add | Operator::Subtract | Operator::Modulo, TimeSpan, TimeSpan) => TimeSpan,
        (Operator::Divide, TimeSpan, TimeSpan) => Real,
        (Operator::Multiply | Operator::Divide, TimeSpan, number) if number.is_number() => TimeSpan,
        (Operator::Multiply, number, TimeSpan) if number.is_number() => TimeSpan,
        (_, left, right) if left.is_number() && right.is_number() => {
            if left.is_whole() && right.is_whole() {
                if left == right { left } else { Long }
            } else {
                Real
            }
        }
        (Operator::Add, Dynamic, DateTime) | (Operator::Add, DateTime, Dynamic) => DateTime,
        (Operator::Subtract, DateTime, Dynamic) => Dynamic,
        (_, Dynamic, other) | (_, other, Dynamic)
            if other.is_number() || other == TimeSpan || other == Dynamic =>
        {
            Dynamic
        }
        _ => return None,
    })
}

/// The result; null where there is none: of null, of an overflow, of a division of whole numbers by zero.
pub(crate) fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Value {
    use Value::{DateTime, Long, Real, TimeSpan};
    let found =
        match (operator, number(left), number(right)) {
            (operator, Long(left), Long(right)) => whole(operator, left, right).map(Long),
            (operator, TimeSpan(left), TimeSpan(right)) => match operator {
                #[expect(clippy::cast_precision_loss, reason = "a ratio")]
                Operator::Divide => (right != 0).then(|| Real(left as f64 / right as f64)),
                operator => whole(operator, left, right).map(TimeSpan),
            },
            (Operator::Add, DateTime(at), TimeSpan(span)) | (Operator::Add, TimeSpan(span), DateTime(at)) => {
                at.checked_add(span).map(DateTime)
            }
            (Operator::Subtract, DateTime(at), TimeSpan(span)) => at.checked_sub(span).map(DateTime),
            (Operator::Subtract, DateTime(left), DateTime(right)) => left.checked_sub(right).map(TimeSpan),
            (Operator::Multiply, TimeSpan(span), Long(by))
            | (Operator::Multiply, Long(by), TimeSpan(span)) => span.checked_mul(by).map(TimeSpan),
            (Operator::Multiply, TimeSpan(span), Real(by))
            | (Operator::Multiply, Real(by), TimeSpan(span)) => scaled(span, by),
            (Operator::Divide, TimeSpan(span), Long(by)) => span.checked_div(by).map(TimeSpan),
            (Operator::Divide, TimeSpan(span), Real(by)) => scaled(span, 1.0 / by),
            (operator, left, right) => match (left.as_number(), right.as_number()) {
                (Some(left), Some(right)) => Some(Real(match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                    _ => left.rem_euclid(right),
                })),
                _ => None,
            },
        };
    found.unwrap_or(Value::Null)
}

/// A text within `dynamic` that spells a number counts as one.
fn number(value: &Value) -> Value {
    match value {
        Value::String(_) => match convert(value, Type::Long) {
            Value::Null => convert(value, Type::Real),
            whole => whole,
        },
        other => other.clone(),
    }
}

fn whole(operator: Operator, left: i64, right: i64) -> Option<i64> {
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        // Never negative, whatever the signs (Kusto, "Numerical operators").
        _ => left.checked_rem_euclid(right),
    }
}

fn scaled(span: i64, by: f64) -> Option<Value> {
    #[expect(clippy::cast_precision_loss, reason = "spans are scaled to what a real can tell apart")]
    let ticks = span as f64 * by;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
    (ticks.abs() < 9e18).then(|| Value::TimeSpan(ticks.round() as i64))
}

/// A comparison. Two nulls are neither equal nor unequal, a null and a value are unequal, and null is
/// neither less nor greater than anything.
pub(crate) fn compare(operator: Operator, left: &Value, right: &Value) -> Value {
    let truth = match (operator, left, right) {
        (_, Value::Null, Value::Null) => return Value::Null,
        (Operator::Equal, Value::Null, _) | (Operator::Equal, _, Value::Null) => false,
        (Operator::NotEqual, Value::Null, _) | (Operator::NotEqual, _, Value::Null) => true,
        (_, Value::Null, _) | (_, _, Value::Null) => return Value::Null,
        (Operator::NotEqual, Value::Real(it), _) | (Operator::NotEqual, _, Value::Real(it))
            if it.is_nan() =>
        {
            true
        }
        (_, Value::Real(it), _) | (_, _, Value::Real(it)) if it.is_nan() => false,
        (operator, left, right) => {
            let order = left.order(right);
            match operator {
                Operator::Equal => order == Ordering::Equal,
                Operator::NotEqual => order != Ordering::Equal,
                Operator::Less => order == Ordering::Less,
                Operator::LessOrEqual => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }
        }
    };
    Value::Bool(truth)
}

/// The element at a position of an array (from the end if negative), or the member of a bag.
pub(crate) fn index(of: &Value, at: &Value) -> Value {
    match (of, at) {
        (Value::Array(items), Value::Long(at)) => {
            let at =
                if *at < 0 { at.saturating_add(i64::try_from(items.len()).unwrap_or(i64::MAX)) } else { *at };
            usize::try_from(at).ok().and_then(|at| items.get(at)).cloned().unwrap_or(Value::Null)
        }
        (Value::Object(_), Value::String(name)) => of.member(name).cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
