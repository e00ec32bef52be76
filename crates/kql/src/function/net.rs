//! Addresses, and digests.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use super::Param::{Any, Long, Text};
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
    Function::new(&["format_ipv4"], &[Any], Returns::Is(Type::String), |_, it| {
        let bits = it.get(1).and_then(Value::as_long).and_then(|bits| u32::try_from(bits).ok()).unwrap_or(32);
        let address = match &it[0] {
            Value::Long(number) => u32::try_from(*number).ok(),
            other => network(&other.to_text()).map(|(address, _)| address),
        };
        match address {
            Some(address) if bits <= 32 => Value::text(Ipv4Addr::from(masked(address, bits)).to_string()),
            _ => Value::Null,
        }
    })
    .optional(&[Long]),
    Function::new(&["parse_ipv6"], &[Text], Returns::Is(Type::String), |_, it| {
        let address = text(&it[0]).trim();
        let parsed = address.parse::<Ipv6Addr>().ok();
        let parsed = parsed.or_else(|| address.parse::<Ipv4Addr>().ok().map(|it| it.to_ipv6_mapped()));
        match parsed {
            Some(address) => {
                let words: Vec<String> =
                    address.segments().iter().map(|word| format!("{word:04x}")).collect();
                Value::text(words.join(":"))
            }
            None => Value::Null,
        }
    }),
    Function::new(&["hash_sha256"], &[Any], Returns::Is(Type::String), |_, it| {
        let digest = Sha256::digest(it[0].to_text());
        Value::text(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }),
];

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
    let bits = it.get(2).and_then(Value::as_long).and_then(|bits| u32::try_from(bits).ok()).unwrap_or(32);
    match (network(text(&it[0])), network(text(&it[1]))) {
        (Some((one, one_bits)), Some((other, other_bits))) => {
            let bits = bits.min(one_bits).min(other_bits);
            Value::Long(match masked(one, bits).cmp(&masked(other, bits)) {
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 1,
            })
        }
        _ => Value::Null,
    }
}

const LONG: Returns = Returns::Is(Type::Long);
const TRUTH: Returns = Returns::Is(Type::Bool);
