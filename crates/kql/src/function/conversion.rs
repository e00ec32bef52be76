//! Conversions between types. What cannot be converted is null, or the empty string.

use super::Param::{Any, Dynamic};
use super::{Function, Returns};
use crate::time::{parse_datetime, parse_timespan};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["tostring"], &[Any], Returns::Is(Type::String), |_, it| convert(&it[0], Type::String))
        .sees_null()
        .keeps_name(),
    Function::new(&["tolong"], &[Any], Returns::Is(Type::Long), |_, it| convert(&it[0], Type::Long))
        .keeps_name(),
    Function::new(&["toint"], &[Any], Returns::Is(Type::Int), |_, it| convert(&it[0], Type::Int))
        .keeps_name(),
    Function::new(&["todouble", "toreal"], &[Any], Returns::Is(Type::Real), |_, it| {
        convert(&it[0], Type::Real)
    })
    .keeps_name(),
    Function::new(&["todecimal"], &[Any], Returns::Is(Type::Decimal), |_, it| convert(&it[0], Type::Decimal))
        .keeps_name(),
    Function::new(&["tobool", "toboolean"], &[Any], Returns::Is(Type::Bool), |_, it| {
        convert(&it[0], Type::Bool)
    })
    .keeps_name(),
    Function::new(&["todatetime"], &[Any], Returns::Is(Type::DateTime), |_, it| {
        convert(&it[0], Type::DateTime)
    })
    .keeps_name(),
    Function::new(&["totimespan", "totime"], &[Any], Returns::Is(Type::TimeSpan), |_, it| {
        convert(&it[0], Type::TimeSpan)
    })
    .keeps_name(),
    Function::new(&["toguid"], &[Any], Returns::Is(Type::Guid), |_, it| convert(&it[0], Type::Guid))
        .keeps_name(),
    Function::new(
        &["todynamic", "parse_json", "parsejson", "toobject", "todict"],
        &[Any],
        Returns::Is(Type::Dynamic),
        |_, it| to_dynamic(&it[0]),
    )
    .keeps_name(),
    Function::new(&["gettype"], &[Dynamic], Returns::Is(Type::String), |_, it| {
        Value::text(it[0].type_name())
    })
    .sees_null()
    .prefixes_name("type"),
];

/// Text is parsed; text that is no JSON stays text, as in Kusto.
fn to_dynamic(value: &Value) -> Value {
    match value {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => Value::parse_json(text).unwrap_or_else(|| value.clone()),
        other => other.clone(),
    }
}

/// The value as one of another type, as the `to…` functions convert.
pub(crate) fn convert(value: &Value, to: Type) -> Value {
    if value.is_null() {
        return to.nothing();
    }
    let converted = match to {
        Type::Bool => to_bool(value),
        Type::Int => to_long(value).filter(|number| i32::try_from(*number).is_ok()).map(Value::Long),
        Type::Long => to_long(value).map(Value::Long),
        Type::Real | Type::Decimal => to_real(value).map(Value::Real),
        Type::String => Some(match value {
            Value::String(_) => value.clone(),
            other => Value::text(other.to_text()),
        }),
        Type::DateTime => match value {
            Value::DateTime(_) => Some(value.clone()),
            Value::String(text) => parse_datetime(text).map(Value::DateTime),
            // Kusto takes a number for ticks since the year 1.
            Value::Long(ticks) => ticks.checked_sub(UNIX_EPOCH_TICKS).map(Value::DateTime),
            _ => None,
        },
        Type::TimeSpan => match value {
            Value::TimeSpan(_) => Some(value.clone()),
            Value::String(text) => parse_timespan(text).map(Value::TimeSpan),
            Value::Long(ticks) => Some(Value::TimeSpan(*ticks)),
            _ => None,
        },
        Type::Guid => value.as_text().and_then(to_guid),
        Type::Dynamic => Some(value.clone()),
    };
    converted.unwrap_or_else(|| to.nothing())
}

fn to_bool(value: &Value) -> Option<Value> {
    let truth = match value {
        Value::Bool(truth) => *truth,
        Value::Long(number) => *number != 0,
        Value::Real(number) => *number != 0.0,
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            number => number.parse::<i64>().ok()? != 0,
        },
        _ => return None,
    };
    Some(Value::Bool(truth))
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
fn to_long(value: &Value) -> Option<i64> {
    let whole = |number: f64| (number.abs() < 9.2e18).then_some(number.trunc() as i64);
    match value {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Long(number) => Some(*number),
        Value::Real(number) => whole(*number),
        Value::DateTime(ticks) => ticks.checked_add(UNIX_EPOCH_TICKS),
        Value::TimeSpan(ticks) => Some(*ticks),
        Value::String(text) => {
            let text = text.trim();
            if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                return i64::from_str_radix(digits, 16).ok();
            }
            text.parse().ok()
        }
        _ => None,
    }
}

fn to_real(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_number(),
    }
}

fn to_guid(text: &str) -> Option<Value> {
    let digits: String = text.chars().filter(|character| !"-{}()".contains(*character)).collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Some(Value::text(format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )))
}

/// From the year 1 to 1970.
pub(super) const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
