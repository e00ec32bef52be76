//! Moments and lengths of time as text.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::value::{TICKS_PER_DAY, TICKS_PER_SECOND};

/// The ticks of a moment, or `None` outside the years 1 to 9999 that Kusto knows.
pub(crate) fn ticks_of(moment: DateTime) -> Option<i64> {
    let stamp = TimeZone::UTC.to_timestamp(moment).ok().filter(|_| moment.year() >= 1)?;
    i64::try_from(stamp.as_nanosecond() / 100).ok()
}

/// The calendar's view of a moment in UTC; `None` outside the years that it knows.
pub(crate) fn civil(ticks: i64) -> Option<DateTime> {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(ticks) * 100).ok()?;
    Some(Offset::UTC.to_datetime(stamp)).filter(|moment| moment.year() >= 1)
}

/// `2020-06-28T10:10:00.1234567Z`.
pub(crate) fn datetime_text(ticks: i64) -> String {
    let Some(moment) = civil(ticks) else { return String::new() };
    let (date, time) = (moment.date(), moment.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond() / 100
    )
}

/// `1.02:03:04.5000000`: days and fraction only where there are any.
pub(crate) fn timespan_text(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let ticks = ticks.unsigned_abs();
    let per_second = TICKS_PER_SECOND.unsigned_abs();
    let (seconds, fraction) = (ticks / per_second, ticks % per_second);
    let days = match seconds / 86_400 {
        0 => String::new(),
        days => format!("{days}."),
    };
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:07}") };
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{sign}{days}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// A moment in one of the forms that Kusto reads: ISO 8601 with parts left out, `MM/DD/YYYY`, RFC 822.
/// Without an offset it is UTC.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    let (date, rest) = parse_date(text).or_else(|| parse_american(text)).unwrap_or((None, text));
    let Some(date) = date else { return parse_rfc2822(text) };
    let rest = rest.strip_prefix(['T', 't', ' ']).unwrap_or(rest).trim_start();
    let (clock, offset_s) = split_offset(rest)?;
    let clock_ticks = if clock.is_empty() { 0 } else { parse_clock(clock)? };
    let midnight = ticks_of(date.at(0, 0, 0, 0))?;
    midnight.checked_add(clock_ticks)?.checked_sub(offset_s * TICKS_PER_SECOND)
}

/// A date at the start of the text: `2020`, `2020-06` or `2020-06-28`.
fn parse_date(text: &str) -> Option<(Option<Date>, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    if digits(text) != 4 {
        return None;
    }
    let year: i16 = text.get(..4)?.parse().ok()?;
    let mut rest = text.get(4..)?;
    let mut parts = [1_i8, 1];
    for part in &mut parts {
        let Some(tail) = rest.strip_prefix('-') else { break };
        let len = digits(tail);
        if !(1..=2).contains(&len) {
            break;
        }
        *part = tail.get(..len)?.parse().ok()?;
        rest = tail.get(len..)?;
    }
    Some((Date::new(year, parts[0], parts[1]).ok(), rest))
}

/// `06/28/2020`, as .NET's invariant culture writes dates.
fn parse_american(text: &str) -> Option<(Option<Date>, &str)> {
    let (month, rest) = text.split_once('/')?;
    let (day, rest) = rest.split_once('/')?;
    let end = rest.bytes().take_while(u8::is_ascii_digit).count();
    if end != 4 {
        return None;
    }
    let (year, rest) = rest.split_at(end);
    Some((Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok(), rest))
}

fn parse_rfc2822(text: &str) -> Option<i64> {
    let moment = jiff::fmt::rfc2822::parse(text).ok()?;
    i64::try_from(moment.timestamp().as_nanosecond() / 100).ok()
}

/// What is left of an offset, and the offset in seconds east.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    let trimmed = text.trim_end();
    if let Some(clock) = trimmed.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), 0));
    }
    let Some(at) = trimmed.rfind(['+', '-']) else { return Some((trimmed, 0)) };
    let (clock, offset) = trimmed.split_at(at);
    let (sign, digits) = (if offset.starts_with('-') { -1 } else { 1 }, offset.get(1..)?.replace(':', ""));
    if digits.len() != 4 && digits.len() != 2 {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits.get(2..)?.parse().ok()? } else { 0 };
    (hours <= 14 && minutes < 60).then_some((clock.trim_end(), sign * (hours * 3600 + minutes * 60)))
}

/// `10`, `10:11`, `10:11:12` or `10:11:12.1234567`, in ticks.
fn parse_clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = [0_i64; 3];
    let mut count = 0;
    for (part, word) in whole.split(':').enumerate() {
        let slot = parts.get_mut(part)?;
        if word.is_empty() || word.len() > 2 || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slot = word.parse().ok()?;
        count = part;
    }
    let [hours, minutes, seconds] = parts;
    if hours > 24 || minutes > 59 || seconds > 59 || (count < 2 && !fraction.is_empty()) {
        return None;
    }
    Some((hours * 3600 + minutes * 60 + seconds) * TICKS_PER_SECOND + parse_fraction(fraction)?)
}

/// The digits after the point as ticks; those beyond the seventh are cut off.
fn parse_fraction(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seven: String = digits.chars().chain("0000000".chars()).take(7).collect();
    seven.parse().ok()
}

/// A length of time: `[-][d.]hh:mm[:ss[.fffffff]]`, or a number with a unit (`1.5h`), or whole days (`3`).
pub(crate) fn parse_timespan(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    if let Some(ticks) = parse_unit(text) {
        return Some(sign * ticks);
    }
    let (days, clock) = match text.split_once('.') {
        Some((days, clock)) if !days.contains(':') => (days.parse::<i64>().ok()?, clock),
        _ => (0, text),
    };
    if !clock.contains(':') {
        let days: i64 = text.parse().ok()?;
        return days.checked_mul(TICKS_PER_DAY).map(|ticks| sign * ticks);
    }
    let clock = parse_clock(clock)?;
    days.checked_mul(TICKS_PER_DAY)?.checked_add(clock).map(|ticks| sign * ticks)
}

/// A number with a unit: `30s`, `1.5h`, `100ms`.
pub(crate) fn parse_unit(text: &str) -> Option<i64> {
    let end = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(end);
    let ticks = unit_ticks(unit.trim())?;
    if let Ok(number) = number.parse::<i64>() {
        return number.checked_mul(ticks);
    }
    let number: f64 = number.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "units are far below 2^53")]
    let product = number * ticks as f64;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
    (product.abs() < 9e18).then_some(product.round() as i64)
}

/// The length of a unit, in ticks.
pub(crate) fn unit_ticks(unit: &str) -> Option<i64> {
    Some(match unit {
        "d" | "day" | "days" => TICKS_PER_DAY,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * TICKS_PER_SECOND,
        "m" | "min" | "minute" | "minutes" => 60 * TICKS_PER_SECOND,
        "s" | "sec" | "second" | "seconds" => TICKS_PER_SECOND,
        "ms" | "milli" | "millis" | "millisec" | "millisecond" | "milliseconds" => TICKS_PER_SECOND / 1000,
        "micro" | "micros" | "microsec" | "microsecond" | "microseconds" => TICKS_PER_SECOND / 1_000_000,
        "nanosecond" | "nanoseconds" | "tick" | "ticks" => 1,
        _ => return None,
    })
}
