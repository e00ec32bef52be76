//! Versions, ordered as the package manager that installed them orders them.
//!
//! A version that cannot be ordered is an error, never a guess: "not affected" would hide a flaw.

pub mod apk;
pub mod deb;

use std::cmp::Ordering;

use inventory::Ecosystem;

/// Orders two versions of one ecosystem.
///
/// # Errors
/// [`InvalidVersion`] if either is outside the ecosystem's grammar, or if their order is undefined.
///
/// ```
/// use inventory::Ecosystem::{Apk, Deb};
/// assert!(advisory::compare(Deb, "1:0.1", "2.0").unwrap().is_gt());
/// assert!(advisory::compare(Apk, "1.6_rc1-r0", "1.6-r0").unwrap().is_lt());
/// assert!(advisory::compare(Deb, "???", "1").is_err());
/// ```
pub fn compare(ecosystem: Ecosystem, a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    match ecosystem {
        Ecosystem::Deb => deb::compare(a, b),
        Ecosystem::Apk => apk::compare(a, b),
    }
}

/// Why two versions have no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{version:?} has no order among {ecosystem} versions: {why}")]
pub struct InvalidVersion {
    /// The version to blame, cut to what people can read.
    pub version: String,
    /// `deb`, `apk`.
    pub ecosystem: &'static str,
    /// For people: what is wrong with it.
    pub why: &'static str,
}

impl InvalidVersion {
    fn new(ecosystem: Ecosystem, version: &str, why: &'static str) -> Self {
        let version = version.chars().take(SHOWN_CHARS_MAX).collect();
        Self { version, ecosystem: ecosystem.name(), why }
    }
}

/// Orders runs of digits as numbers of any length.
fn compare_digits(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (without_zeros(a), without_zeros(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
    &digits[zeros..]
}

/// The leading run of digits, and what follows it.
fn split_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.split_at(len)
}

/// A version comes from a stranger; a message shows no more of it than this.
const SHOWN_CHARS_MAX: usize = 80;
