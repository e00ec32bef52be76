//! Regular expressions as .NET and RE2 write them, in linear time.

use regex::{Regex, RegexBuilder};

/// Why a pattern was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("a regular expression may have {PATTERN_BYTES_MAX} bytes; this one has {0}")]
    TooLong(usize),
    #[error("'{pattern}' is not a regular expression that can be matched in linear time: {reason}")]
    Invalid { pattern: String, reason: String },
}

/// Compiles a pattern.
///
/// # Errors
/// [`PatternError`] if it is too long, too large once compiled, not a pattern, or uses what only
/// backtracking can match (look-around, back references).
pub(crate) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::TooLong(pattern.len()));
    }
    let mut builder = RegexBuilder::new(&translated(pattern));
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX);
    builder.build().map_err(|error| PatternError::Invalid {
        pattern: pattern.chars().take(80).collect(),
        reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    })
}

/// Brings .NET's spelling to ours: escapes of what needs none, and other names for the same anchors.
fn translated(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('Z') => text.push_str(r"\n?\z"),
            Some('e') => text.push_str(r"\x1b"),
            Some(
                it @ ('_' | '"' | '\'' | ' ' | '<' | '>' | '`' | '@' | '!' | ',' | ';' | ':' | '=' | '%'),
            ) => {
                text.push(it);
            }
            Some(other) => {
                text.push('\\');
                text.push(other);
            }
            None => text.push('\\'),
        }
    }
    text
}

const PATTERN_BYTES_MAX: usize = 64 * 1024;
const COMPILED_BYTES_MAX: usize = 2 * 1024 * 1024;
const NESTING_MAX: u32 = 100;
