//! Alpine's version order: `digits{.digits}[letter]{_suffix[digits]}[~hash][-rN]` (apk-package(5)).
//!
//! Where releases of apk disagree (a suffix that they do not know, digits after the letter), such a part
//! is read but not ordered: only what comes before it can decide.

use std::cmp::Ordering;

use inventory::Ecosystem;

use super::{InvalidVersion, compare_digits, split_digits};

/// Orders two versions as apk does.
///
/// # Errors
/// [`InvalidVersion`] if either is outside the grammar, or if only a part without order could decide.
pub fn compare(a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    for text in [a, b] {
        let invalid = |why| InvalidVersion::new(Ecosystem::Apk, text, why);
        let mut parts = Parts::new(text);
        while parts.step().map_err(invalid)? != Part::End {}
    }
    let (mut parts_a, mut parts_b) = (Parts::new(a), Parts::new(b));
    // Both were just read to their ends without an error.
    while let (Ok(part_a), Ok(part_b)) = (parts_a.step(), parts_b.step()) {
        match part_a.compare(part_b) {
            Some(Ordering::Equal) if part_a == Part::End => break,
            Some(Ordering::Equal) => {}
            Some(unequal) => return Ok(unequal),
            None => {
                let text = if part_a.is_unordered() { a } else { b };
                return Err(InvalidVersion::new(
                    Ecosystem::Apk,
                    text,
                    "releases of apk disagree about this form",
                ));
            }
        }
    }
    Ok(Ordering::Equal)
}

/// One step of a version. Where two versions differ in kind, the kind decides: see [`Part::rank`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    First(&'a [u8]),
    Dotted(&'a [u8]),
    Letter(u8),
    LetterDigits(&'a [u8]),
    Suffix(i8),
    UnknownSuffix(&'a [u8]),
    SuffixNumber(&'a [u8]),
    Hash(&'a [u8]),
    Revision(&'a [u8]),
    End,
}

impl Part<'_> {
    /// `None`: only an unordered part could tell.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::First(a), Self::First(b))
            | (Self::SuffixNumber(a), Self::SuffixNumber(b))
            | (Self::Revision(a), Self::Revision(b)) => Some(compare_digits(a, b)),
            // With a leading zero they are fractions, as Gentoo has it.
            (Self::Dotted(a @ [b'0', ..]), Self::Dotted(b))
            | (Self::Dotted(a), Self::Dotted(b @ [b'0', ..])) => Some(a.cmp(b)),
            (Self::Dotted(a), Self::Dotted(b)) => Some(compare_digits(a, b)),
            (Self::Letter(a), Self::Letter(b)) => Some(a.cmp(&b)),
            (Self::Suffix(a), Self::Suffix(b)) => Some(a.cmp(&b)),
            (Self::Hash(a), Self::Hash(b)) => Some(a.cmp(b)),
            (a, b) if a == b => Some(Ordering::Equal),
            (a, b) if a.is_unordered() || b.is_unordered() => None,
            (a, b) => Some(a.rank().cmp(&b.rank())),
        }
    }

    fn is_unordered(self) -> bool {
        matches!(self, Self::LetterDigits(_) | Self::UnknownSuffix(_))
    }

    /// `1_rc` before `1`, that before `1-r0`, that before `1_p1`, that before `1a`, that before `1.1`.
    fn rank(self) -> u8 {
        match self {
            Self::Suffix(order) if order < 0 => 0,
            Self::End => 1,
            Self::Revision(_) => 2,
            Self::Hash(_) => 3,
            Self::SuffixNumber(_) => 4,
            Self::Suffix(_) => 5,
            Self::Letter(_) => 6,
            Self::Dotted(_) | Self::First(_) => 7,
            Self::LetterDigits(_) | Self::UnknownSuffix(_) => 8,
        }
    }
}

struct Parts<'a> {
    rest: &'a [u8],
    last: Option<Part<'a>>,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), last: None }
    }

    fn step(&mut self) -> Result<Part<'a>, &'static str> {
        let part = self.read()?;
        self.last = Some(part);
        Ok(part)
    }

    fn read(&mut self) -> Result<Part<'a>, &'static str> {
        use Part as P;
        let after_digits = matches!(self.last, Some(P::First(_) | P::Dotted(_)));
        let before_hash = !matches!(self.last, None | Some(P::Hash(_) | P::Revision(_) | P::End));
        match (self.last, self.rest) {
            (None, _) => self.digits().map(P::First).ok_or("it does not begin with a digit"),
            (Some(_), []) => Ok(P::End),
            (_, [b'.', rest @ ..]) if after_digits => {
                self.rest = rest;
                self.digits().map(P::Dotted).ok_or("a dot without a number after it")
            }
            (_, [letter @ b'a'..=b'z', rest @ ..]) if after_digits => {
                self.rest = rest;
                Ok(P::Letter(*letter))
            }
            (Some(P::Letter(_)), [b'0'..=b'9', ..]) => {
                self.digits().map(P::LetterDigits).ok_or("digits expected")
            }
            (Some(P::Suffix(_) | P::UnknownSuffix(_)), [b'0'..=b'9', ..]) => {
                self.digits().map(P::SuffixNumber).ok_or("digits expected")
            }
            (_, [b'_', rest @ ..]) if before_hash => {
                let name = self.run(rest, |byte| byte.is_ascii_lowercase());
                match SUFFIXES.iter().find(|(known, _)| known.as_bytes() == name) {
                    Some((_, order)) => Ok(P::Suffix(*order)),
                    None if name.is_empty() => Err("an underscore without a suffix after it"),
                    None => Ok(P::UnknownSuffix(name)),
                }
            }
            (_, [b'~', rest @ ..]) if before_hash => {
                let hash = self.run(rest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if hash.is_empty() { Err("a tilde without a hash after it") } else { Ok(P::Hash(hash)) }
            }
            (Some(last), [b'-', b'r', rest @ ..]) if !matches!(last, P::Revision(_)) => {
                Ok(P::Revision(self.run(rest, |byte| byte.is_ascii_digit())))
            }
            _ => Err("a character that versions cannot have there"),
        }
    }

    fn digits(&mut self) -> Option<&'a [u8]> {
        let (digits, rest) = split_digits(self.rest);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }

    fn run(&mut self, from: &'a [u8], belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = from.iter().take_while(|&&byte| belongs(byte)).count();
        self.rest = &from[len..];
        &from[..len]
    }
}

/// Those before the plain version are negative.
const SUFFIXES: [(&str, i8); 9] = [
    ("alpha", -4),
    ("beta", -3),
    ("pre", -2),
    ("rc", -1),
    ("cvs", 1),
    ("svn", 2),
    ("git", 3),
    ("hg", 4),
    ("p", 5),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_rows_hold() {
        let rows = [
            ("0.1.0_alpha", '<', "0.1.3_alpha"),
            ("0.1.0_alpha2", '>', "0.1.0_alpha"),
            ("1.1", '>', "1.1_alpha1"),
            ("23_foo", '>', "4_beta"),
            ("2.3.0b-r1", '<', "2.3.0b-r2"),
            ("1a", '<', "1z"),
            ("1-r1", '=', "1-r01"),
            ("1-r", '=', "1-r0"),
            ("6.6.2p1", '>', "6.6.2_p1"),
            ("6.6.2_p1", '<', "6.6.2_p2"),
            ("1.0.4-r4", '<', "1.6"),
            ("1.6_rc1-r0", '<', "1.6-r0"),
            ("1.0", '<', "1.0-r0"),
            ("1_alpha", '<', "1_beta"),
            ("1_beta", '<', "1_pre"),
            ("1_pre", '<', "1_rc"),
            ("1_rc", '<', "1"),
            ("1", '<', "1_cvs"),
            ("1_cvs", '<', "1_svn"),
            ("1_svn", '<', "1_git"),
            ("1_git", '<', "1_hg"),
            ("1_hg", '<', "1_p"),
            ("1.01", '<', "1.1"),
            ("1.9-r0", '<', "1.10-r0"),
            ("1.1.1w-r1", '>', "1.1.1v-r9"),
            ("20241121-r1", '<', "99999999999999999999999-r0"),
            ("0_git20210821-r0", '<', "0_git20210822-r0"),
            ("1.2~abc-r0", '>', "1.2-r5"),
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
        for bad in [
            "", "x", ".1", "1.", "1..2", "1-r-0", "1-0", "1_", "1~", "1-r1-r2", "1ab", "1A", "1 ",
            "1.2_rc~g", "v1", "é",
        ] {
            assert!(compare(bad, "2").is_err(), "{bad}");
            assert!(compare("2", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_form_that_apk_releases_order_differently_has_no_order() {
        assert!(compare("1_foo", "1_rc").is_err());
        assert!(compare("1_foo", "1").is_err());
        assert!(compare("1a1", "1a").is_err());
        assert_eq!(compare("1_foo", "1_foo"), Ok(Ordering::Equal));
        assert_eq!(compare("1a1-r0", "1a1-r1"), Ok(Ordering::Less));
    }
}
