//! stub
pub(crate) fn equals_ignoring_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
pub(crate) fn contains(a: &str, b: &str, c: bool) -> bool {
    if c { a.contains(b) } else { a.to_lowercase().contains(&b.to_lowercase()) }
}
pub(crate) fn starts_with(a: &str, b: &str, c: bool) -> bool {
    if c { a.starts_with(b) } else { a.to_lowercase().starts_with(&b.to_lowercase()) }
}
pub(crate) fn ends_with(a: &str, b: &str, c: bool) -> bool {
    if c { a.ends_with(b) } else { a.to_lowercase().ends_with(&b.to_lowercase()) }
}
pub(crate) fn has_term(a: &str, b: &str, c: bool) -> bool {
    contains(a, b, c)
}
pub(crate) fn has_prefix(a: &str, b: &str, c: bool) -> bool {
    contains(a, b, c)
}
pub(crate) fn has_suffix(a: &str, b: &str, c: bool) -> bool {
    contains(a, b, c)
}
