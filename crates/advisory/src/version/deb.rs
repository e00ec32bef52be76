//! Debian's version order: `[epoch:]upstream[-revision]` (deb-version(7); Debian Policy, 5.6.12).

use std::cmp::Ordering;

use inventory::Ecosystem;

use super::{InvalidVersion, compare_digits, split_digits};

/// Orders two versions as `dpkg --compare-versions` does.
///
/// Like dpkg, an upstream version may begin with a letter; it must hold a digit, however.
///
/// # Errors
/// [`InvalidVersion`] for what dpkg refuses, and for characters that it warns of.
pub fn compare(a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    let (a, b) = (Version::parse(a)?, Version::parse(b)?);
    let by_epoch = a.epoch.cmp(&b.epoch);
    Ok(by_epoch.then_with(|| walk(a.upstream, b.upstream)).then_with(|| walk(a.revision, b.revision)))
}

struct Version<'a> {
    epoch: u32,
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Result<Self, InvalidVersion> {
        let invalid = |why| InvalidVersion::new(Ecosystem::Deb, text, why);
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => (parse_epoch(epoch).ok_or_else(|| invalid("bad epoch"))?, rest),
            None => (0, text),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((_, "")) => return Err(invalid("the revision is empty")),
            Some((upstream, revision)) => (upstream, revision),
            None => (rest, ""),
        };
        if !upstream.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(invalid("no digits"));
        }
        let is_allowed = |byte: u8, extra: &[u8]| byte.is_ascii_alphanumeric() || extra.contains(&byte);
        if !upstream.bytes().all(|byte| is_allowed(byte, b".-+~:"))
            || !revision.bytes().all(|byte| is_allowed(byte, b".+~"))
        {
            return Err(invalid("a character that versions cannot have"));
        }
        Ok(Self { epoch, upstream: upstream.as_bytes(), revision: revision.as_bytes() })
    }
}

/// dpkg keeps epochs in an `int`.
fn parse_epoch(text: &str) -> Option<u32> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let epoch = text.parse().ok().filter(|_| all_digits)?;
    (epoch <= i32::MAX.unsigned_abs()).then_some(epoch)
}

/// Alternates between runs of other characters and runs of digits; an absent part equals `0`.
fn walk(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        while starts_with_other(a) || starts_with_other(b) {
            match weight(a.first()).cmp(&weight(b.first())) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                unequal => return unequal,
            }
        }
        let (digits_a, rest_a) = split_digits(a);
        let (digits_b, rest_b) = split_digits(b);
        match compare_digits(digits_a, digits_b) {
            Ordering::Equal => (a, b) = (rest_a, rest_b),
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

fn starts_with_other(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| !byte.is_ascii_digit())
}

/// `~` before the end, the end (or a digit) before letters, letters before everything else.
fn weight(byte: Option<&u8>) -> i16 {
    match byte {
        Some(b'~') => -1,
        None | Some(b'0'..=b'9') => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i16::from(*letter),
        Some(other) => i16::from(*other) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_rows_hold() {
        let rows = [
            ("1.0~rc1", '<', "1.0"),
            ("1.0~~", '<', "1.0~~a"),
            ("1.0~~a", '<', "1.0~"),
            ("1.0-1", '<', "1.0-1+b1"),
            ("1.2.3-1~deb12u1", '<', "1.2.3-1"),
            ("2.36-9+deb12u9", '<', "2.36-9+deb12u10"),
            ("1:0.1", '>', "2.0"),
            ("2.7.4+reloaded2-13ubuntu1", '<', "2.7.4+reloaded2-13+deb9u1"),
            ("2.9.14+dfsg-1.3~deb12u2", '<', "2.12.7+dfsg+really2.9.14-0.4"),
            ("1.0", '=', "1.0-0"),
            ("1.0", '=', "0:1.0"),
            ("1.0a", '<', "1.0+"),
            ("1.0.", '>', "1.0+"),
            ("1.2.3-1+deb12u1", '>', "1.2.3-1"),
            ("1.001", '=', "1.1"),
            ("1.0-a-1", '>', "1.0-1"),
            ("1.0A", '<', "1.0a"),
            ("9.0.31-1~deb10u6", '<', "9.0.31-1"),
            ("99999999999999999999998", '<', "99999999999999999999999"),
            ("1:1:2", '>', "1:1"),
        ];
        for (a, relation, b) in rows {
            let wanted = match relation {
                '<' => Ordering::Less,
                '>' => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(compare(a, b), Ok(wanted), "{a} {b}");
            assert_eq!(compare(b, a), Ok(wanted.reverse()), "{b} {a}");
        }
    }

    #[test]
    fn what_is_no_version_has_no_order() {
        for bad in
            ["", "???", ":1", "a:1", "+1:1", "2147483648:1", "1-", "1:", "-1", "1 2", "1_2", "1.0-a:b", "é1"]
        {
            assert!(compare(bad, "1").is_err(), "{bad}");
            assert!(compare("1", bad).is_err(), "{bad}");
        }
    }
}
