//! Finding a member in a JSON text without parsing the rest.
//!
//! The texts are trusted to be JSON (they are rendered by us); what is not is never found, nothing worse.

use std::borrow::Cow;
use std::collections::HashSet;

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

/// What the members of the bag are called, each name once, in the order in which they stand; `None` if the text is
/// no bag.
pub(crate) fn names(text: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for (key, _) in Members::of(text.as_bytes(), whole(text))? {
        let name = named(key)?;
        if known.insert(name.clone()) {
            names.push(name.into_owned());
        }
    }
    Some(names)
}

fn find(text: &[u8], within: Span, name: &str) -> Option<Span> {
    let is_it = |(key, _): &(&[u8], Span)| match key.contains(&b'\\') {
        false => *key == name.as_bytes(),
        true => named(key).is_some_and(|key| key == name),
    };
    Members::of(text, within)?.find(is_it).map(|(_, value)| value)
}

/// What a key says that stands between quotes.
fn named(key: &[u8]) -> Option<Cow<'_, str>> {
    if !key.contains(&b'\\') {
        return std::str::from_utf8(key).ok().map(Cow::Borrowed);
    }
    let quoted = [b"\"", key, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(Cow::Owned)
}

/// The members of a bag: the key without its quotes, and where the value is.
struct Members<'a> {
    text: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Members<'a> {
    /// `None` if there is no bag.
    fn of(text: &'a [u8], within: Span) -> Option<Self> {
        let (at, end) = (blank(text, within.from as usize), within.to as usize);
        let is_bag = text.get(at) == Some(&b'{') && at < end;
        is_bag.then(|| Self { text, at: blank(text, at + 1), end })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Span);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.text;
        if self.at >= self.end || text.get(self.at) != Some(&b'"') {
            return None;
        }
        let key_end = string_end(text, self.at)?;
        let key = text.get(self.at + 1..key_end - 1)?;
        let colon = blank(text, key_end);
        if text.get(colon) != Some(&b':') {
            return None;
        }
        let value = blank(text, colon + 1);
        let value_end = value_end(text, value)?;
        let behind = blank(text, value_end);
        // Without a comma this is the last one.
        self.at = if text.get(behind) == Some(&b',') { blank(text, behind + 1) } else { self.end };
        Some((key, Span::new(value, value_end)))
    }
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
