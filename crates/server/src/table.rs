//! Tables for people.

use std::fmt;

use comfy_table::{ContentArrangement, Table, presets};

/// A table without lines, as wide as the terminal.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// A digest as people recognise it.
pub(crate) fn short(digest: &oci::Digest) -> String {
    digest.to_string().chars().take(19).collect()
}

/// Milliseconds since 1970 as RFC 3339, to the second.
pub(crate) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.0}"))
}

/// `1 manifest`, `2 manifests`.
pub(crate) fn counted(count: impl TryInto<u64> + Copy + fmt::Display, one: &str, many: &str) -> String {
    let is_one = count.try_into().is_ok_and(|count| count == 1);
    format!("{count} {}", if is_one { one } else { many })
}

/// `0 bytes`, `1 byte`, `4.8 GiB (5,120,000,000 bytes)`.
pub(crate) fn bytes(count: u64) -> String {
    let exact = format!("{} byte{}", grouped(count), if count == 1 { "" } else { "s" });
    let unit = UNITS.iter().rposition(|(size, _)| count >= *size).map(|at| UNITS[at]);
    match unit {
        None => exact,
        Some((size, name)) => {
            // Tenths, rounded down: nothing is said to be more than it is.
            let tenths = u128::from(count) * 10 / u128::from(size);
            format!("{}.{} {name} ({exact})", tenths / 10, tenths % 10)
        }
    }
}

/// `4.8 GiB`, for columns.
pub(crate) fn short_bytes(count: u64) -> String {
    let text = bytes(count);
    text.split_once(" (").map_or_else(|| text.clone(), |(short, _)| short.to_owned())
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const UNITS: [(u64, &str); 4] = [(1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"), (1 << 40, "TiB")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_units() {
        for (count, wanted) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (1024, "1.0 KiB (1,024 bytes)"),
            (5_120_000_000, "4.7 GiB (5,120,000,000 bytes)"),
            (u64::MAX, "16777215.9 TiB (18,446,744,073,709,551,615 bytes)"),
        ] {
            assert_eq!(bytes(count), wanted);
        }
        assert_eq!(short_bytes(2048), "2.0 KiB");
        assert_eq!([counted(1_usize, "row", "rows"), counted(0_u64, "row", "rows")], ["1 row", "0 rows"]);
    }
}
