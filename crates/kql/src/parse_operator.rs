//! What `parse` does with one text.

use regex::Regex;

use crate::column::stem::{Stem, ends_in_stem};
use crate::function::convert;
use crate::syntax::{ParseKind, ParsePart};
use crate::value::{Type, Value};

/// A pattern, ready to be used.
#[derive(Debug)]
pub(crate) struct Pattern {
    kinds: Vec<Type>,
    is_relaxed: bool,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Texts to be found one after the other: what is before each goes to the column, if there is one.
    Find {
        parts: Vec<ParsePart>,
    },
    Regex(Regex),
}

impl Pattern {
    /// # Errors
    /// A sentence, if the pattern's texts are no regular expressions where they should be.
    pub(crate) fn new(kind: ParseKind, flags: Option<&str>, parts: &[ParsePart]) -> Result<Self, String> {
        let is_endless =
            |part: &ParsePart| matches!(part, ParsePart::Column(_, Type::String | Type::Dynamic));
        if parts.windows(2).any(|pair| is_endless(&pair[0]) && pair[1] == ParsePart::Skip) {
            return Err(
                "parse: '*' cannot stand behind a column of texts, which has no end of its own.".to_owned()
            );
        }
        let kinds: Vec<Type> = parts.iter().filter_map(column_type).collect();
        let is_relaxed = kind == ParseKind::Relaxed;
        let is_plain = kind != ParseKind::Regex && kinds.iter().all(|kind| *kind == Type::String);
        let way = if is_plain && follows_find(parts) {
            Way::Find { parts: parts.to_vec() }
        } else {
            let pattern = regex_of(kind, flags.unwrap_or_default(), parts);
            Way::Regex(crate::function::pattern::compile(&pattern).map_err(|error| error.to_string())?)
        };
        Ok(Self { kinds, is_relaxed, way })
    }

    /// The columns' values as an array; null if the text does not fit.
    pub(crate) fn read(&self, text: &str) -> Value {
        let found = match &self.way {
            Way::Find { parts } => find(parts, text),
            Way::Regex(regex) => regex.captures(text).map(|captures| {
                let group = |position| captures.name(&group(position)).map_or("", |found| found.as_str());
                (0..self.kinds.len()).map(group).collect()
            }),
        };
        self.columns(found)
    }

    /// As [`Pattern::read`], of all texts of a stem; `None` if it depends on what follows.
    pub(crate) fn read_stem(&self, stem: &Stem) -> Option<Value> {
        match &self.way {
            Way::Find { parts } => find_in_stem(parts, &stem.text).map(|found| self.columns(found)),
            Way::Regex(_) => None,
        }
    }

    fn columns(&self, found: Option<Vec<&str>>) -> Value {
        let Some(found) = found else { return Value::Null };
        let mut values = Vec::with_capacity(self.kinds.len());
        for (kind, text) in self.kinds.iter().zip(found) {
            let value = convert(&Value::text(text), *kind);
            if value.is_null() && !self.is_relaxed {
                return Value::Null;
            }
            values.push(value);
        }
        Value::array(values)
    }
}

fn column_type(part: &ParsePart) -> Option<Type> {
    if let ParsePart::Column(_, kind) = part { Some(*kind) } else { None }
}

/// True if no column or `*` follows another: then the first place of each text is the right one.
fn follows_find(parts: &[ParsePart]) -> bool {
    parts
        .windows(2)
        .all(|pair| matches!(pair[0], ParsePart::Text(_)) || matches!(pair[1], ParsePart::Text(_)))
}

fn find<'a>(parts: &[ParsePart], text: &'a str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            ParsePart::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            part => {
                let (before, after) = match parts.peek() {
                    Some(ParsePart::Text(text)) => {
                        parts.next();
                        rest.split_once(text.as_str())?
                    }
                    _ => (rest, ""),
                };
                if matches!(part, ParsePart::Column(..)) {
                    found.push(before);
                }
                rest = after;
            }
        }
    }
    Some(found)
}

/// As [`find`], in all texts of a stem; `None` if it depends on what follows.
fn find_in_stem<'a>(parts: &[ParsePart], stem: &'a str) -> Option<Option<Vec<&'a str>>> {
    let mut found = Vec::new();
    let mut rest = stem;
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            ParsePart::Text(text) => match rest.strip_prefix(text.as_str()) {
                Some(behind) => rest = behind,
                None if text.len() <= rest.len() || ends_in_stem(text) => return Some(None),
                None => return None,
            },
            part => {
                let is_column = matches!(part, ParsePart::Column(..));
                match parts.peek() {
                    Some(ParsePart::Text(text)) => {
                        let Some((before, behind)) = rest.split_once(text.as_str()) else {
                            return if ends_in_stem(text) { Some(None) } else { None };
                        };
                        parts.next();
                        if is_column {
                            found.push(before);
                        }
                        rest = behind;
                    }
                    // It goes on behind the stem.
                    _ if is_column => return None,
                    _ => rest = "",
                }
            }
        }
    }
    Some(Some(found))
}

/// As Kusto's documentation translates a pattern.
fn regex_of(kind: ParseKind, flags: &str, parts: &[ParsePart]) -> String {
    let flags: String = flags.chars().filter(|flag| "imsU".contains(*flag)).collect();
    let flags = if kind == ParseKind::Regex { flags } else { "s".to_owned() };
    let mut columns = 0;
    // The pattern's own texts may have groups, which are not counted.
    let mut column = |of: &str| {
        columns += 1;
        format!("(?P<{}>{of})", group(columns - 1))
    };
    let mut pattern = if flags.is_empty() { "^".to_owned() } else { format!("(?{flags})^") };
    for (position, part) in parts.iter().enumerate() {
        let is_last = position + 1 == parts.len();
        match part {
            ParsePart::Skip => pattern.push_str(".*?"),
            ParsePart::Text(text) if kind == ParseKind::Regex => pattern.push_str(&format!("(?:{text})")),
            ParsePart::Text(text) => pattern.push_str(&regex::escape(text)),
            ParsePart::Column(_, of) => {
                let is_number = matches!(of, Type::Int | Type::Long | Type::Real | Type::Decimal);
                // Where it ends is told by its type alone.
                let is_open = matches!(parts.get(position + 1), Some(ParsePart::Skip));
                match shape(*of) {
                    Some(shape) if is_open && kind == ParseKind::Relaxed => {
                        pattern.push_str(&format!(r"(?:\s*{})?", column(shape)));
                    }
                    Some(shape) if is_open || is_number && kind != ParseKind::Relaxed => {
                        pattern.push_str(&format!(r"\s*{}", column(shape)));
                    }
                    // As long as it can be in Kusto's regular expressions, unless a flag turns that round.
                    _ if kind == ParseKind::Regex => pattern.push_str(&column(".*")),
                    _ => pattern.push_str(&column(".*?")),
                }
            }
        }
        if is_last && matches!(part, ParsePart::Column(..)) {
            pattern.push('$');
        }
    }
    pattern
}

/// The name of a column's group.
fn group(position: usize) -> String {
    format!("column__{position}")
}

/// What a value of the type looks like in a text, if it has an end of its own.
fn shape(kind: Type) -> Option<&'static str> {
    Some(match kind {
        Type::Int | Type::Long => r"-?\d+",
        Type::Real | Type::Decimal => r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?",
        Type::Bool => r"(?i:true|false)|[01]",
        Type::Guid => r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        Type::DateTime => {
            r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[-+]\d{2}:\d{2})?)?"
        }
        Type::TimeSpan => r"-?(?:\d+\.)?\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?|\d+(?:\.\d+)?(?:ms|d|h|m|s)\b",
        Type::String | Type::Dynamic => return None,
    })
}
