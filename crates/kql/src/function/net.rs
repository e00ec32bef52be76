//! Addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Param::{Any, Long, Text};
use super::bounded::written;
use super::text::text;
use super::{Function, Returns};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["parse_ipv4"], &[Text], LONG, |_, it| match network(text(&it[0])) {
        Some((address, bits)) => Value::Long(i64::from(masked(address, bits))),
        None => Value::Null,
    }),
    Function::new(&["parse_ipv4_mask"], &[Text, Long], LONG, |_, it| {
        match (network(text(&it[0])), it[1].as_long().and_then(|bits| u32::try_from(bits).ok())) {
            (Some((address, _)), Some(bits)) if bits <= 32 => Value::Long(i64::from(masked(address, bits))),
            _ => Value::Null,
        }
    }),
    Function::new(&["ipv4_netmask_suffix"], &[Text], LONG, |_, it| {
        network(text(&it[0])).map_or(Value::Null, |(_, bits)| Value::Long(i64::from(bits)))
    }),
    Function::new(&["ipv4_is_private"], &[Text], TRUTH, |_, it| match network(text(&it[0])) {
        Some((address, _)) => Value::Bool(Ipv4Addr::from(address).is_private()),
        None => Value::Null,
    }),
    Function::new(&["ipv4_is_in_range"], &[Text, Text], TRUTH, |_, it| is_in(text(&it[0]), text(&it[1]))),
    Function::new(&["ipv4_is_in_any_range"], &[Text, Any], TRUTH, |_, it| {
        let mut ranges = Vec::new();
        for range in &it[1..] {
            match range {
                Value::Array(items) => ranges.extend(items.iter().map(Value::to_text)),
                other => ranges.push(other.to_text()),
            }
        }
        if network(text(&it[0])).is_none() {
            return Value::Null;
        }
        Value::Bool(ranges.iter().any(|range| is_in(text(&it[0]), range).as_bool() == Some(true)))
    })
    .rest(Any),
    Function::new(&["ipv4_compare"], &[Text, Text], LONG, |_, it| compared(it)).optional(&[Long]),
    Function::new(&["ipv4_is_match"], &[Text, Text], TRUTH, |_, it| match compared(it) {
        Value::Long(order) => Value::Bool(order == 0),
        _ => Value::Null,
    })
    .optional(&[Long]),
    Function::new(&["format_ipv4"], &[Any], TEXT, |_, it| match formatted(it) {
        Some((address, _)) => Value::text(address.to_string()),
        None => Value::Null,
    })
    .optional(&[Long]),
    Function::new(&["format_ipv4_mask"], &[Any], TEXT, |_, it| match formatted(it) {
        Some((address, bits)) => Value::text(format!("{address}/{bits}")),
        None => Value::Null,
    })
    .optional(&[Long]),
    Function::new(&["parse_ipv6"], &[Text], TEXT, |_, it| match network6(text(&it[0])) {
        Some((address, bits)) => canonical(masked6(address, bits)),
        None => Value::Null,
    }),
    Function::new(&["parse_ipv6_mask"], &[Text, Long], TEXT, |_, it| {
        match (network6(text(&it[0])), it[1].as_long().and_then(|bits| u32::try_from(bits).ok())) {
            (Some((address, own)), Some(bits)) if bits <= 128 => canonical(masked6(address, bits.min(own))),
            _ => Value::Null,
        }
    }),
    Function::new(&["ipv6_compare"], &[Text, Text], LONG, |_, it| compared6(it)).optional(&[Long]),
    Function::new(&["ipv6_is_match"], &[Text, Text], TRUTH, |_, it| match compared6(it) {
        Value::Long(order) => Value::Bool(order == 0),
        _ => Value::Null,
    })
    .optional(&[Long]),
    Function::new(&["ipv6_is_in_range"], &[Text, Text], TRUTH, |_, it| {
        match (network6(text(&it[0])), network6(text(&it[1]))) {
            (Some((address, _)), Some((range, bits))) => {
                Value::Bool(masked6(address, bits) == masked6(range, bits))
            }
            _ => Value::Null,
        }
    }),
    Function::new(&["has_ipv4"], &[Text, Text], TRUTH, |_, it| has_any(text(&it[0]), &it[1..], false)),
    Function::new(&["has_any_ipv4"], &[Text, Any], TRUTH, |_, it| has_any(text(&it[0]), &it[1..], false))
        .rest(Any),
    Function::new(&["has_ipv4_prefix"], &[Text, Text], TRUTH, |_, it| has_any(text(&it[0]), &it[1..], true)),
    Function::new(&["has_any_ipv4_prefix"], &[Text, Any], TRUTH, |_, it| {
        has_any(text(&it[0]), &it[1..], true)
    })
    .rest(Any),
];

/// True if one of these addresses is in the text, or one that begins as one of these does.
fn has_any(text: &str, wanted: &[Value], are_prefixes: bool) -> Value {
    let mut all = Vec::new();
    for it in wanted {
        match it {
            Value::Array(items) => all.extend(items.iter().map(Value::to_text)),
            other => all.push(other.to_text()),
        }
    }
    // An address, or with a dot at its end the beginning of one.
    let is_prefix = |it: &str| {
        let bytes: Vec<&str> = it.strip_suffix('.').map_or(Vec::new(), |it| it.split('.').collect());
        (1..=3).contains(&bytes.len()) && bytes.iter().all(|it| is_byte(it))
    };
    all.retain(|it| it.parse::<Ipv4Addr>().is_ok() || are_prefixes && is_prefix(it));
    let found = addresses(text).any(|(written, address)| {
        all.iter().any(|it| match it.parse::<Ipv4Addr>() {
            Ok(wanted) => wanted == address,
            Err(_) => written.starts_with(&**it),
        })
    });
    Value::Bool(found)
}

fn is_byte(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit()) && text.parse::<u8>().is_ok()
}

/// The addresses in a text that no letter or digit touches.
fn addresses(text: &str) -> impl Iterator<Item = (&str, Ipv4Addr)> {
    text.split(|it: char| !it.is_alphanumeric() && it != '.').filter_map(|word| {
        // A sentence may end behind it.
        let word = word.trim_matches('.');
        Some((word, word.parse().ok()?))
    })
}

/// An address and the bits of its network.
fn network(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = text.trim().split_once('/').unwrap_or((text.trim(), "32"));
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    Some((u32::from(address.parse::<Ipv4Addr>().ok()?), bits))
}

fn masked(address: u32, bits: u32) -> u32 {
    let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
    address & mask
}

fn is_in(address: &str, range: &str) -> Value {
    match (network(address), network(range)) {
        (Some((address, _)), Some((range, bits))) => {
            Value::Bool(masked(address, bits) == masked(range, bits))
        }
        _ => Value::Null,
    }
}

/// By the shortest of the networks.
fn compared(it: &[Value]) -> Value {
    let (Some(bits), Some((one, one_bits)), Some((other, other_bits))) =
        (bits(it.get(2), 32), network(text(&it[0])), network(text(&it[1])))
    else {
        return Value::Null;
    };
    let bits = bits.min(one_bits).min(other_bits);
    Value::Long(masked(one, bits).cmp(&masked(other, bits)) as i64)
}

/// How many bits count: all, if nothing is given; `None` if there are not so many.
fn bits(given: Option<&Value>, all: u32) -> Option<u32> {
    let Some(given) = given else { return Some(all) };
    u32::try_from(given.as_long()?).ok().filter(|bits| *bits <= all)
}

/// The network of an address, text or number, and how long its prefix is.
fn formatted(it: &[Value]) -> Option<(Ipv4Addr, u32)> {
    let (address, own) = match &it[0] {
        Value::Long(number) => (u32::try_from(*number).ok()?, 32),
        other => network(&written(other))?,
    };
    let bits = bits(it.get(1), 32)?.min(own);
    Some((Ipv4Addr::from(masked(address, bits)), bits))
}

/// As [`network`]; one of IPv4 is taken for what it is within IPv6.
fn network6(text: &str) -> Option<(u128, u32)> {
    if let Some((address, bits)) = network(text) {
        return Some((u128::from(Ipv4Addr::from(address).to_ipv6_mapped()), bits + 96));
    }
    let (address, bits) = text.trim().split_once('/').unwrap_or((text.trim(), "128"));
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 128)?;
    Some((u128::from(address.parse::<Ipv6Addr>().ok()?), bits))
}

fn masked6(address: u128, bits: u32) -> u128 {
    let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
    address & mask
}

fn compared6(it: &[Value]) -> Value {
    let (Some(bits), Some((one, one_bits)), Some((other, other_bits))) =
        (bits(it.get(2), 128), network6(text(&it[0])), network6(text(&it[1])))
    else {
        return Value::Null;
    };
    let bits = bits.min(one_bits).min(other_bits);
    Value::Long(masked6(one, bits).cmp(&masked6(other, bits)) as i64)
}

/// Eight groups of four digits.
fn canonical(address: u128) -> Value {
    let groups = Ipv6Addr::from(address).segments().map(|group| format!("{group:04x}"));
    Value::text(groups.join(":"))
}

const TEXT: Returns = Returns::Is(Type::String);
const LONG: Returns = Returns::Is(Type::Long);
const TRUTH: Returns = Returns::Is(Type::Bool);
