//! `Range` of pulls (RFC 9110, section 14) and `Content-Range` of uploaded chunks (distribution
//! specification, "Pushing a blob in chunks").

use std::ops::Range;

/// Which part of a blob is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// No range, or none that we understand: the whole, which RFC 9110 allows. So are several ranges
    /// that overlap or are too many (RFC 9110, section 17.15).
    Whole,
    Of(Range<u64>),
    /// Several, in the order asked for.
    Several(Vec<Range<u64>>),
    /// None of the blob's bytes is in the range.
    Outside,
}

/// Reads a `Range` header for a blob of `len` bytes.
pub(crate) fn part(header: &str, len: u64) -> Part {
    let Some((unit, set)) = header.split_once('=') else { return Part::Whole };
    // Of nothing, each range is the whole (RFC 9110, 14.1.2: a suffix longer than the content is all of it).
    if !unit.eq_ignore_ascii_case("bytes") || len == 0 {
        return Part::Whole;
    }
    let mut ranges = Vec::new();
    let mut is_outside = false;
    for (number, text) in set.split(',').map(str::trim).filter(|text| !text.is_empty()).enumerate() {
        match one(text, len) {
            Some(_) if number >= RANGES_MAX => return Part::Whole,
            Some(range) if range.is_empty() => is_outside = true,
            Some(range) => ranges.push(range),
            None => return Part::Whole,
        }
    }
    let mut sorted: Vec<_> = ranges.iter().collect();
    sorted.sort_by_key(|range| range.start);
    let is_overlapping = sorted.windows(2).any(|pair| pair[1].start < pair[0].end);
    match ranges.as_slice() {
        [] if is_outside => Part::Outside,
        [] => Part::Whole,
        [range] => Part::Of(range.clone()),
        _ if is_overlapping => Part::Whole,
        _ => Part::Several(ranges),
    }
}

/// One range of a set, empty if no byte of the blob is in it; `None` if it is no range.
fn one(text: &str, len: u64) -> Option<Range<u64>> {
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX));
    Some(match text.split_once('-')? {
        ("", "") => return None,
        ("", suffix) => len.saturating_sub(number(suffix)?)..len,
        (first, "") => number(first)?..len,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(len),
    })
}

/// More than any lazy puller asks for at once.
const RANGES_MAX: usize = 64;

/// Reads a chunk's `Content-Range`: first and last offset. Some clients write it like a response's
/// (`bytes 0-9/10`, `bytes 0-9/*`).
pub(crate) fn chunk(header: &str) -> Option<(u64, u64)> {
    let range = header.trim();
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    let (first, last): (u64, u64) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_rfc_9110_has_them() {
        for (header, wanted) in [
            ("bytes=500-1499", Part::Of(500..1500)),
            ("bytes=500-", Part::Of(500..2048)),
            ("bytes=-500", Part::Of(1548..2048)),
            ("bytes=-5000", Part::Of(0..2048)),
            ("bytes=2000-5000", Part::Of(2000..2048)),
            ("bytes=2000-99999999999999999999999", Part::Of(2000..2048)),
            ("bytes=500-0", Part::Outside),
            ("bytes=5000-10000", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=0-1,5-6", Part::Several(vec![0..2, 5..7])),
            ("Bytes= 5-6 , 0-1", Part::Several(vec![5..7, 0..2])),
            ("bytes=0-1,5000-", Part::Of(0..2)),
            ("bytes=5000-,6000-", Part::Outside),
            ("bytes=0-9,5-6", Part::Whole),
            ("bytes=0-1,x", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(part(header, 2048), wanted, "{header}");
        }
        for header in ["bytes=0-", "bytes=0-0", "bytes=-5", "bytes=7-9", "bytes=0-1,5-6"] {
            assert_eq!(part(header, 0), Part::Whole, "{header}");
        }
    }

    #[test]
    fn chunks_with_and_without_decoration() {
        for (header, wanted) in [
            ("0-9", Some((0, 9))),
            ("bytes 0-9/10", Some((0, 9))),
            ("bytes 0-9/*", Some((0, 9))),
            ("9-0", None),
            ("-9", None),
            ("0-", None),
            ("+1-2", None),
            ("99999999999999999999-99999999999999999999", None),
        ] {
            assert_eq!(chunk(header), wanted, "{header}");
        }
    }
}
