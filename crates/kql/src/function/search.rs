//! Tests of texts, as the language's operators ask them.
//!
//! Without regard to case means that both sides are brought to lower case, character by character.

use std::borrow::Cow;

use memchr::memchr2_iter;

/// `=~`
pub(crate) fn equals_ignoring_case(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

/// `contains`, `contains_cs`
pub(crate) fn contains(hay: &str, needle: &str, is_cased: bool) -> bool {
    if is_cased {
        hay.contains(needle)
    } else if needle.len() <= SHORT && hay.is_ascii() && needle.is_ascii() {
        find_ascii(hay, needle).is_some()
    } else {
        lower(hay).contains(&*lower(needle))
    }
}

/// `startswith`
pub(crate) fn starts_with(text: &str, start: &str, is_cased: bool) -> bool {
    if is_cased {
        return text.starts_with(start);
    }
    if text.is_ascii() && start.is_ascii() {
        return text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    }
    lower(text).starts_with(&*lower(start))
}

/// `endswith`
pub(crate) fn ends_with(text: &str, end: &str, is_cased: bool) -> bool {
    if is_cased {
        return text.ends_with(end);
    }
    if text.is_ascii() && end.is_ascii() {
        let from = text.len().checked_sub(end.len());
        return from.and_then(|from| text.get(from..)).is_some_and(|it| it.eq_ignore_ascii_case(end));
    }
    lower(text).ends_with(&*lower(end))
}

/// `has`: the needle begins and ends where terms do. A term is a run of letters and digits.
pub(crate) fn has_term(text: &str, needle: &str, is_cased: bool) -> bool {
    has(text, needle, is_cased, true, true)
}

/// `hasprefix`: the needle begins where a term does.
pub(crate) fn has_prefix(text: &str, needle: &str, is_cased: bool) -> bool {
    has(text, needle, is_cased, true, false)
}

/// `hassuffix`: the needle ends where a term does.
pub(crate) fn has_suffix(text: &str, needle: &str, is_cased: bool) -> bool {
    has(text, needle, is_cased, false, true)
}

fn has(text: &str, needle: &str, is_cased: bool, at_begin: bool, at_end: bool) -> bool {
    if needle.is_empty() {
        return true;
    }
    if is_cased || (needle.len() <= SHORT && text.is_ascii() && needle.is_ascii()) {
        let find = |rest: &str| if is_cased { rest.find(needle) } else { find_ascii(rest, needle) };
        return bounded(text, needle, at_begin, at_end, find);
    }
    let (text, needle) = (lower(text), lower(needle));
    bounded(&text, &needle, at_begin, at_end, |rest| rest.find(&*needle))
}

/// True if one of the places where the needle is found has no letter or digit before it that goes on into
/// it, and none after it that it goes on into.
fn bounded(
    text: &str,
    needle: &str,
    at_begin: bool,
    at_end: bool,
    find: impl Fn(&str) -> Option<usize>,
) -> bool {
    let is_in_term = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    let at_begin = at_begin && is_in_term(needle.chars().next());
    let at_end = at_end && is_in_term(needle.chars().next_back());
    let term = |text: &str| text.find(|it: char| !it.is_alphanumeric()).unwrap_or(text.len());
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(&find) {
        let begin = from + at;
        let (before, found) = text.split_at(begin);
        let after = found.get(needle.len()..).unwrap_or_default();
        let begins = !at_begin || !is_in_term(before.chars().next_back());
        let ends = !at_end || !is_in_term(after.chars().next());
        if begins && ends {
            return true;
        }
        // The next place that may be: behind the term that it begins in, or ends in. To look at every
        // place between would take the product of both lengths.
        let next = found.chars().next().map_or(1, char::len_utf8);
        let next = if at_begin { next.max(term(found)) } else { next };
        from = if ends { begin + next } else { (begin + next).max(begin + term(after)) };
        while !text.is_char_boundary(from) {
            from += 1;
        }
    }
    false
}

/// In lower case, character by character; what is so already is not copied.
fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Where the needle is in ASCII text, upper and lower case being one.
fn find_ascii(hay: &str, needle: &str) -> Option<usize> {
    let (hay, needle) = (hay.as_bytes(), needle.as_bytes());
    let Some((place, byte)) =
        needle.iter().enumerate().min_by_key(|(_, byte)| FREQUENCY[usize::from(**byte)])
    else {
        return Some(0);
    };
    let last = hay.len().checked_sub(needle.len())?;
    let mut may =
        memchr2_iter(byte.to_ascii_lowercase(), byte.to_ascii_uppercase(), &hay[place..=last + place]);
    may.find(|at| hay[*at..at + needle.len()].eq_ignore_ascii_case(needle))
}

/// How often a byte is met in ids and English, roughly: a needle is looked for by its rarest.
const FREQUENCY: [u8; 256] = {
    let common = b"qzjxkwvybgfhmpudlc.0-/nsroiate ";
    let mut of = [0; 256];
    let mut at = 0;
    while at < common.len() {
        let rank = at as u8 + 1;
        of[common[at] as usize] = rank;
        of[common[at].to_ascii_uppercase() as usize] = rank;
        at += 1;
    }
    of
};

/// Longer needles are looked for in a copy in lower case, by an algorithm whose time does not grow with the
/// needle.
const SHORT: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(testkit::cases(256))]

        #[test]
        fn a_needle_is_where_its_lower_case_is(hay in "[aAbBz/-]{0,12}", needle in "[aAbBz/-]{0,4}") {
            let found = hay.to_ascii_lowercase().find(&needle.to_ascii_lowercase());
            prop_assert_eq!(find_ascii(&hay, &needle), found);
        }
    }

    #[test]
    fn terms_end_where_letters_and_digits_do() {
        assert!(has_term("/assessments/dbd0cb49-b563/x", "DBD0CB49", false));
        assert!(!has_term("assessments", "assess", false));
        assert!(has_term("a.assess.b", "assess", true));
        assert!(has_term("one two-three", "two-three", false));
        assert!(!has_term("one two-threes", "two-three", false));
        assert!(has_prefix("North America", "ame", false) && !has_prefix("North America", "mer", false));
        assert!(has_suffix("North America", "ica", false) && !has_suffix("North America", "Nor", false));
        assert!(has_term("xab ab", "ab", true));
    }

    #[test]
    fn case_is_no_matter_unless_it_is() {
        assert!(
            contains("Container Registry", "rEGIS", false) && !contains("Container Registry", "regis", true)
        );
        assert!(contains("GRÜSSE", "grüss", false) && contains("anything", "", false));
        assert!(starts_with("Über", "üb", false) && ends_with("ÜBER", "ber", false));
        assert!(equals_ignoring_case("É", "é") && !equals_ignoring_case("a", "ab"));
    }
}
