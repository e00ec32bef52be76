//! Finding a member in a JSON text without parsing the rest.
//!
//! The texts are trusted to be JSON (they are rendered by us); what is not is never found, nothing worse.

use std::borrow::Cow;

/// Where a value is in its text: bytes from and to; empty if it is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn new(from: usize, to: usize) -> Self {
        match (u32::try_from(from), u32::try_from(to)) {
            (Ok(from), Ok(to)) => Self { from, to },
            _ => Self::default(),
        }
    }

    /// The text of the value.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

/// The whole document.
pub(crate) fn whole(text: &str) -> Span {
    Span::new(0, text.len())
}

/// The member of that name in the bag at `within`.
pub(crate) fn member(text: &str, within: Span, name: &str) -> Span {
    find(text.as_bytes(), within, name).unwrap_or_default()
}

fn find(text: &[u8], within: Span, name: &str) -> Option<Span> {
    let end = within.to as usize;
    let mut at = blank(text, within.from as usize);
    if text.get(at) != Some(&b'{') || at >= end {
        return None;
    }
    at = blank(text, at + 1);
    while at < end && text.get(at) == Some(&b'"') {
        let key_end = string_end(text, at)?;
        let key = text.get(at + 1..key_end - 1)?;
        at = blank(text, key_end);
        if text.get(at) != Some(&b':') {
            return None;
        }
        at = blank(text, at + 1);
        let value_end = value_end(text, at)?;
        if is_name(key, name) {
            return Some(Span::new(at, value_end));
        }
        at = blank(text, value_end);
        if text.get(at) != Some(&b',') {
            return None;
        }
        at = blank(text, at + 1);
    }
    None
}

fn is_name(key: &[u8], name: &str) -> bool {
    if !key.contains(&b'\\') {
        return key == name.as_bytes();
    }
    let quoted = [b"\"", key, b"\""].concat();
    serde_json::from_slice::<Cow<'_, str>>(&quoted).is_ok_and(|key| key == name)
}

fn blank(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The end of the string that begins at `from`, its quote included.
fn string_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The end of the value that begins at `from`.
fn value_end(text: &[u8], from: usize) -> Option<usize> {
    match text.get(from)? {
        b'"' => string_end(text, from),
        b'{' | b'[' => {
            let (mut at, mut depth) = (from, 0_u32);
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = string_end(text, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = text.get(from..)?;
            let len = rest.iter().take_while(|byte| !b",}] \n\r\t".contains(byte)).count();
            Some(from + len)
        }
    }
}
