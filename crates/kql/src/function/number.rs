//! Numbers. `rand` is left out: an answer depends on nothing but the query, the rows and the time.

use super::Param::{Long, Number, Real};
use super::{Function, Returns, Scratch};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["abs"], &[Number], Returns::First, |_, it| match &it[0] {
        Value::Long(number) => number.checked_abs().map_or(Value::Null, Value::Long),
        other => other.as_number().map_or(Value::Null, |number| Value::Real(number.abs())),
    }),
    Function::new(&["round"], &[Number], Returns::First, round).optional(&[Long]),
    Function::new(&["ceiling"], &[Number], Returns::First, |_, it| match &it[0] {
        Value::Real(number) => Value::Real(number.ceil()),
        other => other.clone(),
    }),
    Function::new(&["sqrt"], &[Real], REAL, |_, it| real(it, f64::sqrt)),
    Function::new(&["exp"], &[Real], REAL, |_, it| real(it, f64::exp)),
    Function::new(&["exp2"], &[Real], REAL, |_, it| real(it, f64::exp2)),
    Function::new(&["exp10"], &[Real], REAL, |_, it| real(it, |number| 10_f64.powf(number))),
    Function::new(&["log"], &[Real], REAL, |_, it| real(it, f64::ln)),
    Function::new(&["log2"], &[Real], REAL, |_, it| real(it, f64::log2)),
    Function::new(&["log10"], &[Real], REAL, |_, it| real(it, f64::log10)),
    Function::new(&["sin"], &[Real], REAL, |_, it| real(it, f64::sin)),
    Function::new(&["cos"], &[Real], REAL, |_, it| real(it, f64::cos)),
    Function::new(&["tan"], &[Real], REAL, |_, it| real(it, f64::tan)),
    Function::new(&["cot"], &[Real], REAL, |_, it| real(it, |number| 1.0 / number.tan())),
    Function::new(&["asin"], &[Real], REAL, |_, it| real(it, f64::asin)),
    Function::new(&["acos"], &[Real], REAL, |_, it| real(it, f64::acos)),
    Function::new(&["atan"], &[Real], REAL, |_, it| real(it, f64::atan)),
    Function::new(&["atan2"], &[Real, Real], REAL, |_, it| match (it[0].as_number(), it[1].as_number()) {
        (Some(y), Some(x)) => finite(y.atan2(x)),
        _ => Value::Null,
    }),
    Function::new(&["degrees"], &[Real], REAL, |_, it| real(it, f64::to_degrees)),
    Function::new(&["radians"], &[Real], REAL, |_, it| real(it, f64::to_radians)),
    Function::new(&["pi"], &[], REAL, |_, _| Value::Real(std::f64::consts::PI)),
    Function::new(&["pow"], &[Real, Real], REAL, |_, it| match (it[0].as_number(), it[1].as_number()) {
        (Some(base), Some(exponent)) => finite(base.powf(exponent)),
        _ => Value::Null,
    }),
    Function::new(&["sign"], &[Number], LONG, |_, it| match it[0].as_number() {
        Some(number) if number > 0.0 => Value::Long(1),
        Some(number) if number < 0.0 => Value::Long(-1),
        Some(_) => Value::Long(0),
        None => Value::Null,
    }),
    Function::new(&["isnan"], &[Real], TRUTH, |_, it| {
        Value::Bool(it[0].as_number().is_some_and(f64::is_nan))
    }),
    Function::new(&["isinf"], &[Real], TRUTH, |_, it| {
        Value::Bool(it[0].as_number().is_some_and(f64::is_infinite))
    }),
    Function::new(&["isfinite"], &[Real], TRUTH, |_, it| {
        Value::Bool(it[0].as_number().is_some_and(f64::is_finite))
    }),
    Function::new(&["binary_and"], &[Long, Long], LONG, |_, it| longs(it, |one, other| Some(one & other)))
        .keeps_name(),
    Function::new(&["binary_or"], &[Long, Long], LONG, |_, it| longs(it, |one, other| Some(one | other)))
        .keeps_name(),
    Function::new(&["binary_xor"], &[Long, Long], LONG, |_, it| longs(it, |one, other| Some(one ^ other)))
        .keeps_name(),
    Function::new(&["binary_not"], &[Long], LONG, |_, it| {
        it[0].as_long().map_or(Value::Null, |it| Value::Long(!it))
    })
    .keeps_name(),
    Function::new(&["binary_shift_left"], &[Long, Long], LONG, |_, it| {
        longs(it, |number, by| Some(number.wrapping_shl(u32::try_from(by).ok()? % 64)))
    })
    .keeps_name(),
    Function::new(&["binary_shift_right"], &[Long, Long], LONG, |_, it| {
        longs(it, |number, by| Some(number.wrapping_shr(u32::try_from(by).ok()? % 64)))
    })
    .keeps_name(),
    Function::new(&["bitset_count_ones"], &[Long], LONG, |_, it| {
        it[0].as_long().map_or(Value::Null, |it| Value::Long(i64::from(it.count_ones())))
    })
    .keeps_name(),
    Function::new(&["tohex"], &[Long], Returns::Is(Type::String), |_, it| {
        let width =
            usize::try_from(it.get(1).and_then(Value::as_long).unwrap_or(0).clamp(0, 16)).unwrap_or(0);
        let Some(number) = it[0].as_long() else { return Value::Null };
        // What is less than nothing has as many digits as its type; the binder says which it is.
        match (it.get(2), i32::try_from(number)) {
            (Some(_), Ok(number)) => Value::text(format!("{number:0width$x}")),
            _ => Value::text(format!("{number:0width$x}")),
        }
    })
    .optional(&[Long, Long])
    .keeps_name(),
];

fn real(it: &[Value], compute: fn(f64) -> f64) -> Value {
    it[0].as_number().map_or(Value::Null, |number| finite(compute(number)))
}

/// What is no number becomes nothing, as in Kusto.
fn finite(number: f64) -> Value {
    if number.is_nan() { Value::Null } else { Value::Real(number) }
}

fn longs(it: &[Value], compute: fn(i64, i64) -> Option<i64>) -> Value {
    match (&it[0], &it[1]) {
        (Value::Long(one), Value::Long(other)) => compute(*one, *other).map_or(Value::Null, Value::Long),
        _ => Value::Null,
    }
}

fn round(_: &mut Scratch, it: &[Value]) -> Value {
    let digits = it.get(1).and_then(Value::as_long).unwrap_or(0).clamp(-15, 15);
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    let scale = 10_f64.powi(digits.abs() as i32);
    match &it[0] {
        Value::Real(number) => {
            let rounded =
                if digits < 0 { (number / scale).round() * scale } else { (number * scale).round() / scale };
            Value::Real(if rounded.is_finite() { rounded } else { *number })
        }
        Value::Long(number) if digits < 0 => {
            let scale = 10_i64.pow(u32::try_from(-digits).unwrap_or(0));
            let half = if *number < 0 { -scale / 2 } else { scale / 2 };
            number.checked_add(half).map_or(Value::Null, |number| Value::Long(number / scale * scale))
        }
        other => other.clone(),
    }
}

const REAL: Returns = Returns::Is(Type::Real);
const LONG: Returns = Returns::Is(Type::Long);
const TRUTH: Returns = Returns::Is(Type::Bool);
