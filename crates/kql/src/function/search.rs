//! Tests of texts, as the language's operators ask them.
//!
//! Without regard to case means that both sides are brought to lower case, character by character.

use std::borrow::Cow;

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
        return hay.contains(needle);
    }
    if hay.is_ascii() && needle.is_ascii() {
        return find_ascii(hay.as_bytes(), needle.as_bytes(), 0).is_some();
    }
    hay.to_lowercase().contains(&needle.to_lowercase())
}

/// `startswith`
pub(crate) fn starts_with(text: &str, start: &str, is_cased: bool) -> bool {
    if is_cased { text.starts_with(start) } else { lower(text).starts_with(&*lower(start)) }
}

/// `endswith`
pub(crate) fn ends_with(text: &str, end: &str, is_cased: bool) -> bool {
    if is_cased { text.ends_with(end) } else { lower(text).ends_with(&*lower(end)) }
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
    let (text, needle) =
        if is_cased { (Cow::Borrowed(text), Cow::Borrowed(needle)) } else { (lower(text), lower(needle)) };
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(&*needle)) {
        let (begin, end) = (from + at, from + at + needle.len());
        let goes_on = |outside: Option<char>, inside: Option<char>| {
            outside.is_some_and(char::is_alphanumeric) && inside.is_some_and(char::is_alphanumeric)
        };
        let before = text.get(..begin).and_then(|it| it.chars().next_back());
        let after = text.get(end..).and_then(|it| it.chars().next());
        let begins = !at_begin || !goes_on(before, needle.chars().next());
        let ends = !at_end || !goes_on(after, needle.chars().next_back());
        if begins && ends {
            return true;
        }
        from = begin + text.get(begin..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8);
    }
    false
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Where the needle is in ASCII text, upper and lower case being one.
fn find_ascii(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let Some((first, rest)) = needle.split_first() else { return Some(from) };
    let (low, high) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let last = hay.len().checked_sub(needle.len())?;
    (from..=last).find(|at| {
        (hay[*at] == low || hay[*at] == high) && hay[at + 1..at + needle.len()].eq_ignore_ascii_case(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
