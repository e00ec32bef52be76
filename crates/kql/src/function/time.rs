//! Moments and lengths of time.

use jiff::civil::{Date, DateTime, Weekday};

use super::Param::{DateTime as At, Long, Number, Real, Text, TimeSpan};
use super::text::text;
use super::{Function, Param, Returns, Scratch, convert};
use crate::compute;
use crate::syntax::Operator;
use crate::time::{civil, ticks_of};
use crate::value::{TICKS_PER_DAY, TICKS_PER_SECOND, Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["now"], &[], TIME, |scratch, it| shifted(scratch.now, it.first(), 1))
        .optional(&[TimeSpan]),
    Function::new(&["ago"], &[TimeSpan], TIME, |scratch, it| shifted(scratch.now, it.first(), -1)),
    Function::new(&["datetime_add"], &[Text, Long, At], TIME, |_, it| {
        let (Value::Long(amount), Value::DateTime(at)) = (&it[1], &it[2]) else { return Value::Null };
        moment(add(text(&it[0]), *amount, *at))
    }),
    Function::new(&["datetime_diff"], &[Text, At, At], LONG, |_, it| {
        let (Value::DateTime(one), Value::DateTime(other)) = (&it[1], &it[2]) else { return Value::Null };
        difference(text(&it[0]), *one, *other).map_or(Value::Null, Value::Long)
    }),
    Function::new(&["datetime_part", "datepart"], &[Text, At], LONG, |_, it| part(text(&it[0]), &it[1])),
    Function::new(&["startofday"], &[At], TIME, |_, it| start(it, "day", 0)).optional(&[Long]).keeps_name(),
    Function::new(&["startofweek"], &[At], TIME, |_, it| start(it, "week", 0)).optional(&[Long]),
    Function::new(&["startofmonth"], &[At], TIME, |_, it| start(it, "month", 0)).optional(&[Long]),
    Function::new(&["startofyear"], &[At], TIME, |_, it| start(it, "year", 0)).optional(&[Long]),
    Function::new(&["endofday"], &[At], TIME, |_, it| start(it, "day", 1)).optional(&[Long]),
    Function::new(&["endofweek"], &[At], TIME, |_, it| start(it, "week", 1)).optional(&[Long]),
    Function::new(&["endofmonth"], &[At], TIME, |_, it| start(it, "month", 1)).optional(&[Long]),
    Function::new(&["endofyear"], &[At], TIME, |_, it| start(it, "year", 1)).optional(&[Long]),
    Function::new(&["dayofweek"], &[At], SPAN, |_, it| match day(&it[0]) {
        Some(day) => Value::TimeSpan(i64::from(day.weekday().to_sunday_zero_offset()) * TICKS_PER_DAY),
        None => Value::Null,
    }),
    Function::new(&["dayofmonth"], &[At], LONG, |_, it| part("day", &it[0])),
    Function::new(&["dayofyear"], &[At], LONG, |_, it| part("dayofyear", &it[0])),
    Function::new(&["weekofyear", "week_of_year"], &[At], LONG, |_, it| part("weekofyear", &it[0])),
    Function::new(&["monthofyear", "getmonth"], &[At], LONG, |_, it| part("month", &it[0])),
    Function::new(&["getyear"], &[At], LONG, |_, it| part("year", &it[0])),
    Function::new(&["hourofday"], &[At], LONG, |_, it| part("hour", &it[0])),
    Function::new(&["format_datetime"], &[At, Text], WORDS, |_, it| {
        let Value::DateTime(at) = it[0] else { return Value::Null };
        civil(at).map_or(Value::Null, |at| Value::text(formatted(at, text(&it[1]))))
    })
    .keeps_name(),
    Function::new(&["format_timespan"], &[TimeSpan, Text], WORDS, |_, it| {
        let Value::TimeSpan(span) = it[0] else { return Value::Null };
        Value::text(formatted_span(span, text(&it[1])))
    })
    .keeps_name(),
    Function::new(&["make_datetime", "datetime", "date"], &[Long, Long, Long], TIME, make_datetime)
        .optional(&[Long, Long, Real]),
    Function::new(&["make_timespan"], &[Real, Real], SPAN, |_, it| make_timespan(it)).optional(&[Real, Real]),
    Function::new(&["unixtime_seconds_todatetime"], &[Number], TIME, |_, it| unix(&it[0], 10_000_000, 1)),
    Function::new(&["unixtime_milliseconds_todatetime"], &[Number], TIME, |_, it| unix(&it[0], 10_000, 1)),
    Function::new(&["unixtime_microseconds_todatetime"], &[Number], TIME, |_, it| unix(&it[0], 10, 1)),
    Function::new(&["unixtime_nanoseconds_todatetime"], &[Number], TIME, |_, it| unix(&it[0], 1, 100)),
    Function::new(&["bin", "floor"], &[Param::Any], Returns::By(binned_type), bin)
        .optional(&[Param::Any])
        .keeps_name(),
    Function::new(&["bin_at"], &[Param::Any, Param::Any, Param::Any], Returns::First, bin_at).keeps_name(),
];

fn moment(ticks: Option<i64>) -> Value {
    ticks.filter(|ticks| civil(*ticks).is_some()).map_or(Value::Null, Value::DateTime)
}

fn shifted(now: i64, by: Option<&Value>, sign: i64) -> Value {
    match by {
        Some(Value::TimeSpan(by)) => moment(by.checked_mul(sign).and_then(|by| now.checked_add(by))),
        Some(_) => Value::Null,
        None => Value::DateTime(now),
    }
}

/// The length of a unit that has one, in ticks.
fn unit(name: &str) -> Option<i64> {
    Some(match name {
        "week" => 7 * TICKS_PER_DAY,
        "day" => TICKS_PER_DAY,
        "hour" => 3600 * TICKS_PER_SECOND,
        "minute" => 60 * TICKS_PER_SECOND,
        "second" => TICKS_PER_SECOND,
        "millisecond" => TICKS_PER_SECOND / 1000,
        "microsecond" => TICKS_PER_SECOND / 1_000_000,
        _ => return None,
    })
}

/// How many months a unit of the calendar has.
fn months(name: &str) -> Option<i64> {
    Some(match name {
        "year" => 12,
        "quarter" => 3,
        "month" => 1,
        _ => return None,
    })
}

fn add(part: &str, amount: i64, at: i64) -> Option<i64> {
    let part = part.to_ascii_lowercase();
    if part == "nanosecond" {
        return at.checked_add(amount / 100);
    }
    if let Some(ticks) = unit(&part) {
        return at.checked_add(amount.checked_mul(ticks)?);
    }
    let months = amount.checked_mul(months(&part)?)?;
    let date = civil(at)?;
    let shifted = date.checked_add(jiff::Span::new().try_months(months).ok()?).ok()?;
    ticks_of(shifted)
}

/// How many borders of the unit lie between the two.
fn difference(part: &str, one: i64, other: i64) -> Option<i64> {
    let part = part.to_ascii_lowercase();
    if part == "nanosecond" {
        return one.checked_sub(other)?.checked_mul(100);
    }
    if part == "week" {
        let week = |at: i64| (at.div_euclid(TICKS_PER_DAY) + 4).div_euclid(7);
        return Some(week(one) - week(other));
    }
    if let Some(ticks) = unit(&part) {
        return Some(one.div_euclid(ticks) - other.div_euclid(ticks));
    }
    let months_in = months(&part)?;
    let month = |at: i64| civil(at).map(|at| i64::from(at.year()) * 12 + i64::from(at.month()) - 1);
    Some(month(one)?.div_euclid(months_in) - month(other)?.div_euclid(months_in))
}

fn part(name: &str, at: &Value) -> Value {
    let Value::DateTime(ticks) = at else { return Value::Null };
    let Some(at) = civil(*ticks) else { return Value::Null };
    let number = match name.to_ascii_lowercase().as_str() {
        "year" => i64::from(at.year()),
        "quarter" => i64::from((at.month() - 1) / 3 + 1),
        "month" => i64::from(at.month()),
        "weekofyear" | "week_of_year" => i64::from(at.date().iso_week_date().week()),
        "day" => i64::from(at.day()),
        "dayofyear" => i64::from(at.day_of_year()),
        "hour" => i64::from(at.hour()),
        "minute" => i64::from(at.minute()),
        "second" => i64::from(at.second()),
        "millisecond" => i64::from(at.subsec_nanosecond() / 1_000_000),
        "microsecond" => i64::from(at.subsec_nanosecond() / 1000),
        "nanosecond" => i64::from(at.subsec_nanosecond()),
        _ => return Value::Null,
    };
    Value::Long(number)
}

fn day(at: &Value) -> Option<Date> {
    let Value::DateTime(at) = at else { return None };
    civil(*at).map(DateTime::date)
}

/// Where a unit begins, some units on; or the last moment before the one after begins.
fn start(it: &[Value], name: &str, after: i64) -> Value {
    let Value::DateTime(at) = it[0] else { return Value::Null };
    let offset = it.get(1).and_then(Value::as_long).unwrap_or(0);
    let Some(day) = civil(at).map(DateTime::date) else { return Value::Null };
    let begin = match name {
        "day" => Some(day),
        // Weeks begin with Sunday.
        "week" => {
            let days = i64::from(day.weekday().since(Weekday::Sunday));
            day.checked_sub(jiff::Span::new().days(days)).ok()
        }
        "month" => Some(day.first_of_month()),
        _ => Some(day.first_of_year()),
    };
    let begin = begin.and_then(|day| ticks_of(day.at(0, 0, 0, 0)));
    let shifted = offset.checked_add(after).and_then(|by| add(name, by, begin?));
    moment(shifted.map(|at| at - after))
}

fn make_datetime(_: &mut Scratch, it: &[Value]) -> Value {
    let whole = |at: usize| it.get(at).and_then(Value::as_long).unwrap_or(0);
    let small = |at: usize| i8::try_from(whole(at)).ok();
    let seconds = it.get(5).and_then(Value::as_number).unwrap_or(0.0);
    let made = || {
        let date = Date::new(i16::try_from(whole(0)).ok()?, small(1)?, small(2)?).ok()?;
        let (hour, minute) = (small(3)?, small(4)?);
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&seconds) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than a minute")]
        let ticks = (seconds * 1e7).round() as i64;
        ticks_of(date.at(hour, minute, 0, 0))?.checked_add(ticks)
    };
    moment(made())
}

/// Hours and minutes, or those and seconds, or days before all of them.
fn make_timespan(it: &[Value]) -> Value {
    let parts: Vec<f64> = it.iter().filter_map(Value::as_number).collect();
    let [days, hours, minutes, seconds] = match *parts.as_slice() {
        [hours, minutes] => [0.0, hours, minutes, 0.0],
        [hours, minutes, seconds] => [0.0, hours, minutes, seconds],
        [days, hours, minutes, seconds] => [days, hours, minutes, seconds],
        _ => return Value::Null,
    };
    let is_whole = |part: f64, end: f64| part.fract() == 0.0 && (0.0..end).contains(&part);
    let are_right = is_whole(days, 1e7) && is_whole(hours, 24.0) && is_whole(minutes, 60.0);
    if !are_right || !(0.0..60.0).contains(&seconds) {
        return Value::Null;
    }
    let ticks = (((days * 24.0 + hours) * 60.0 + minutes) * 60.0 + seconds) * 1e7;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
    if ticks.abs() < 9e18 { Value::TimeSpan(ticks.round() as i64) } else { Value::Null }
}

/// So many units of so many ticks, or of a part of one, since 1970.
fn unix(number: &Value, ticks: i64, parts: i64) -> Value {
    let since = match number {
        Value::Long(number) => number.checked_mul(ticks).map(|ticks| ticks.div_euclid(parts)),
        other => {
            #[expect(clippy::cast_precision_loss, reason = "small constants")]
            let ticks = other.as_number().unwrap_or(f64::NAN) * ticks as f64 / parts as f64;
            #[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
            (ticks.abs() < 9e18).then_some(ticks.round() as i64)
        }
    };
    moment(since)
}

fn binned_type(types: &[Type]) -> Type {
    match types {
        [first] | [first @ (Type::DateTime | Type::TimeSpan), _] => *first,
        [first, size] if first.is_whole() && size.is_whole() => *first,
        [first, size] if first.is_number() && size.is_number() => Type::Real,
        // What a document holds is binned as the size tells.
        [Type::Dynamic, Type::TimeSpan] => Type::DateTime,
        [Type::Dynamic, size] => *size,
        [first, ..] => *first,
        [] => Type::Dynamic,
    }
}

/// Down to a multiple.
fn bin(_: &mut Scratch, it: &[Value]) -> Value {
    let one = Value::Long(1);
    let size = it.get(1).unwrap_or(&one);
    let value = match (&it[0], size) {
        (Value::String(_), Value::TimeSpan(_)) => convert(&it[0], Type::DateTime),
        (Value::String(_), _) => convert(&it[0], Type::Real),
        (value, _) => value.clone(),
    };
    rounded_down(&value, size)
}

fn rounded_down(value: &Value, size: &Value) -> Value {
    let whole = |value: i64, size: i64| value.div_euclid(size).checked_mul(size);
    let found = match (value, size) {
        (_, Value::Long(size) | Value::TimeSpan(size)) if *size <= 0 => None,
        (Value::Long(value), Value::Long(size)) => whole(*value, *size).map(Value::Long),
        (Value::TimeSpan(value), Value::TimeSpan(size)) => whole(*value, *size).map(Value::TimeSpan),
        (Value::DateTime(value), Value::TimeSpan(size)) => {
            // Kusto counts from the year 1.
            let value = value.checked_add(super::conversion::UNIX_EPOCH_TICKS);
            let binned = value.and_then(|value| whole(value, *size));
            binned.map(|ticks| Value::DateTime(ticks - super::conversion::UNIX_EPOCH_TICKS))
        }
        (value, size) => match (value.as_number(), size.as_number()) {
            (Some(value), Some(size)) if size > 0.0 => Some(Value::Real((value / size).floor() * size)),
            _ => None,
        },
    };
    found.unwrap_or(Value::Null)
}

fn bin_at(_: &mut Scratch, it: &[Value]) -> Value {
    let from = compute::arithmetic(Operator::Subtract, &it[0], &it[2]);
    let binned = rounded_down(&from, &it[1]);
    compute::arithmetic(Operator::Add, &binned, &it[2])
}

/// As .NET's custom format strings say, as far as Kusto knows them; other characters stand for themselves.
fn formatted(at: DateTime, format: &str) -> String {
    let mut made = String::new();
    let characters: Vec<char> = format.chars().collect();
    let mut from = 0;
    while let Some(character) = characters.get(from) {
        let count = characters[from..].iter().take_while(|it| *it == character).count();
        let fraction = format!("{:07}", at.subsec_nanosecond() / 100);
        let digits = fraction.get(..count.min(7)).unwrap_or_default();
        let hour = at.hour();
        match (character, count) {
            ('y', 1..=2) => padded(&mut made, i64::from(at.year().rem_euclid(100)), count),
            ('y', _) => made.push_str(&format!("{:04}", at.year())),
            ('M', _) => padded(&mut made, i64::from(at.month()), count),
            ('d', _) => padded(&mut made, i64::from(at.day()), count),
            ('H', _) => padded(&mut made, i64::from(hour), count),
            ('h', _) => padded(&mut made, i64::from(if hour % 12 == 0 { 12 } else { hour % 12 }), count),
            ('m', _) => padded(&mut made, i64::from(at.minute()), count),
            ('s', _) => padded(&mut made, i64::from(at.second()), count),
            ('f', _) => made.push_str(digits),
            ('F', _) => made.push_str(digits.trim_end_matches('0')),
            ('t', _) => made.push_str(if hour < 12 { "AM" } else { "PM" }),
            (other, count) => made.extend(std::iter::repeat_n(*other, count)),
        }
        from += count;
    }
    made
}

fn formatted_span(span: i64, format: &str) -> String {
    let mut made = String::new();
    if span < 0 {
        made.push('-');
    }
    let ticks = span.unsigned_abs();
    let per_second = TICKS_PER_SECOND.unsigned_abs();
    let seconds = ticks / per_second;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let characters: Vec<char> = format.chars().collect();
    let mut from = 0;
    while let Some(character) = characters.get(from) {
        let count = characters[from..].iter().take_while(|it| *it == character).count();
        let fraction = format!("{:07}", ticks % per_second);
        let digits = fraction.get(..count.min(7)).unwrap_or_default();
        match character {
            'd' => padded(&mut made, number(seconds / 86_400), count),
            'H' | 'h' => padded(&mut made, number(seconds / 3600 % 24), count),
            'm' => padded(&mut made, number(seconds / 60 % 60), count),
            's' => padded(&mut made, number(seconds % 60), count),
            'f' => made.push_str(digits),
            'F' => made.push_str(digits.trim_end_matches('0')),
            other => made.extend(std::iter::repeat_n(*other, count)),
        }
        from += count;
    }
    made
}

fn padded(made: &mut String, number: i64, width: usize) {
    let width = width.min(8);
    made.push_str(&format!("{number:0width$}"));
}

const TIME: Returns = Returns::Is(Type::DateTime);
const SPAN: Returns = Returns::Is(Type::TimeSpan);
const LONG: Returns = Returns::Is(Type::Long);
const WORDS: Returns = Returns::Is(Type::String);
