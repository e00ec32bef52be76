//! Texts. Positions and lengths count characters, from 0.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Param::{Any, Dynamic, Long, Text};
use super::array::items;
use super::bounded::{MadeArray, MadeText, written};
use super::{Function, Returns, Scratch, convert};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["tolower"], &[Text], TEXT, |_, it| Value::text(text(&it[0]).to_lowercase())),
    Function::new(&["toupper"], &[Text], TEXT, |_, it| Value::text(text(&it[0]).to_uppercase())),
    Function::new(&["strlen"], &[Text], LONG, |_, it| long(text(&it[0]).chars().count()))
        .prefixes_name("strlen"),
    Function::new(&["string_size"], &[Text], LONG, |_, it| long(text(&it[0]).len()))
        .prefixes_name("string_size"),
    Function::new(&["substring"], &[Text, Long], TEXT, substring).optional(&[Long]),
    Function::new(&["strcat"], &[Any], TEXT, |_, it| joined("", it)).rest(Any).sees_null(),
    Function::new(&["strcat_delim"], &[Text, Any], TEXT, |_, it| joined(text(&it[0]), &it[1..]))
        .rest(Any)
        .sees_null(),
    Function::new(&["strcat_array"], &[Dynamic, Text], TEXT, |_, it| match &it[0] {
        Value::Array(items) => joined(text(&it[1]), items.iter()),
        _ => Value::text(""),
    }),
    Function::new(&["split"], &[Text, Text], DYNAMIC, split).optional(&[Long]).keeps_name(),
    Function::new(&["trim"], &[Text, Text], TEXT, |scratch, it| trim(scratch, it, true, true)),
    Function::new(&["trim_start"], &[Text, Text], TEXT, |scratch, it| trim(scratch, it, true, false)),
    Function::new(&["trim_end"], &[Text, Text], TEXT, |scratch, it| trim(scratch, it, false, true)),
    Function::new(&["replace_string"], &[Text, Text, Text], TEXT, |_, it| {
        replaced_texts(text(&it[0]), std::slice::from_ref(&it[1]), std::slice::from_ref(&it[2]))
    }),
    Function::new(&["replace_strings"], &[Text, Dynamic, Dynamic], TEXT, |scratch, it| {
        let (Some(olds), Some(news)) = (items(&it[1]), items(&it[2])) else { return it[0].clone() };
        if !scratch.affords(text(&it[0]).len(), olds.len()) {
            return Value::Null;
        }
        replaced_texts(text(&it[0]), olds, news)
    }),
    Function::new(&["replace_regex"], &[Text, Text, Text], TEXT, |scratch, it| {
        replaced(scratch, &it[0], &it[1], &it[2])
    }),
    // The old name has the pattern first and the text last.
    Function::new(&["replace"], &[Text, Text, Text], TEXT, |scratch, it| {
        replaced(scratch, &it[2], &it[0], &it[1])
    }),
    Function::new(&["extract"], &[Text, Long, Text], Returns::Named(3), extract).optional(&[Text]),
    Function::new(&["extract_all", "extractall"], &[Text, Any], DYNAMIC, extract_all).optional(&[Text]),
    Function::new(&["indexof"], &[Text, Text], LONG, |_, it| {
        place(it, |hay| hay.find(text(&it[1])).map(|at| at..at + text(&it[1]).len()))
    })
    .optional(&[Long, Long, Long]),
    Function::new(&["indexof_regex"], &[Text, Text], LONG, |scratch, it| {
        // Other than `indexof` it does not count from the end.
        let Value::String(pattern) = &it[1] else { return Value::Null };
        if it.get(2).and_then(Value::as_long).is_some_and(|start| start < 0) {
            return Value::Null;
        }
        let Some(regex) = scratch.regex(pattern) else { return Value::Null };
        place(it, |hay| regex.find(hay).map(|found| found.range()))
    })
    .optional(&[Long, Long, Long]),
    Function::new(&["countof"], &[Text, Text], LONG, count_of).optional(&[Text]),
    Function::new(&["reverse"], &[Text], TEXT, |_, it| {
        Value::text(text(&it[0]).chars().rev().collect::<String>())
    }),
    Function::new(&["strrep"], &[Any, Long], TEXT, |_, it| {
        let times = usize::try_from(it[1].as_long().unwrap_or(0)).unwrap_or(0).min(REPEATS_MAX);
        joined(it.get(2).map_or("", text), std::iter::repeat_n(&Value::text(written(&it[0])), times))
    })
    .optional(&[Text]),
    Function::new(&["strcmp"], &[Text, Text], LONG, |_, it| {
        Value::Long(match text(&it[0]).cmp(text(&it[1])) {
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => 1,
        })
    }),
    Function::new(&["translate"], &[Text, Text, Text], TEXT, translate),
    Function::new(&["isascii"], &[Text], TRUTH, |_, it| Value::Bool(text(&it[0]).is_ascii())),
    Function::new(&["isutf8"], &[Text], TRUTH, |_, _| Value::Bool(true)),
    Function::new(&["has_any_index"], &[Text, Dynamic], LONG, |scratch, it| match &it[1] {
        Value::Array(needles) if scratch.affords(text(&it[0]).len(), needles.len()) => {
            let is_there = |needle: &Value| super::search::has_term(text(&it[0]), &needle.to_text(), false);
            needles.iter().position(is_there).map_or(Value::Long(-1), long)
        }
        _ => Value::Null,
    }),
    Function::new(&["base64_encode_tostring", "base64_encodestring"], &[Text], TEXT, |_, it| {
        Value::text(STANDARD.encode(text(&it[0])))
    }),
    Function::new(&["base64_encode_fromarray"], &[Dynamic], TEXT, |_, it| {
        let byte = |it: &Value| it.as_long().and_then(|it| u8::try_from(it).ok());
        let bytes: Option<Vec<u8>> = items(&it[0]).and_then(|items| items.iter().map(byte).collect());
        bytes.map_or(Value::Null, |bytes| Value::text(STANDARD.encode(bytes)))
    }),
    Function::new(&["base64_decode_toarray"], &[Text], DYNAMIC, |_, it| {
        match STANDARD.decode(text(&it[0])) {
            Ok(bytes) => {
                bytes.into_iter().map(|byte| Value::Long(i64::from(byte))).collect::<MadeArray>().value()
            }
            Err(_) => Value::Null,
        }
    }),
    Function::new(&["base64_decode_tostring", "base64_decodestring"], &[Text], TEXT, |_, it| {
        let bytes = STANDARD.decode(text(&it[0])).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map_or(Value::text(""), Value::text)
    }),
    Function::new(&["to_utf8", "unicode_codepoints_from_string"], &[Text], DYNAMIC, |_, it| {
        let points = text(&it[0]).chars().map(|it| Value::Long(i64::from(u32::from(it))));
        points.collect::<MadeArray>().value()
    }),
    Function::new(&["make_string", "unicode_codepoints_to_string"], &[Any], TEXT, |_, it| {
        let mut made = MadeText::default();
        for value in it {
            let points =
                if let Value::Array(items) = value { items.as_slice() } else { std::slice::from_ref(value) };
            let point =
                |it: &Value| it.as_long().and_then(|it| u32::try_from(it).ok()).and_then(char::from_u32);
            points.iter().filter_map(point).for_each(|point| made.push_char(point));
        }
        made.value()
    })
    .rest(Any),
];

/// The text of a value that is one by its type.
pub(super) fn text(value: &Value) -> &str {
    value.as_text().unwrap_or_default()
}

pub(super) fn long(number: usize) -> Value {
    i64::try_from(number).map_or(Value::Null, Value::Long)
}

fn substring(_: &mut Scratch, it: &[Value]) -> Value {
    let text = text(&it[0]);
    let start = it[1].as_long().unwrap_or(0);
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    // From the end, if negative.
    let start = if start < 0 { (count + start).max(0) } else { start };
    let length = it.get(2).and_then(Value::as_long).unwrap_or(i64::MAX).max(0);
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    let take = usize::try_from(length).unwrap_or(usize::MAX);
    if text.is_ascii() {
        let from = skip.min(text.len());
        let to = from.saturating_add(take).min(text.len());
        return Value::text(text.get(from..to).unwrap_or_default());
    }
    Value::text(text.chars().skip(skip).take(take).collect::<String>())
}

fn split(_: &mut Scratch, it: &[Value]) -> Value {
    let (text, delimiter) = (text(&it[0]), text(&it[1]));
    let mut characters = text.chars().map(|it| Value::text(it.encode_utf8(&mut [0; 4])));
    let mut words = text.split(delimiter).map(Value::text);
    let parts: &mut dyn Iterator<Item = Value> =
        if delimiter.is_empty() { &mut characters } else { &mut words };
    match it.get(2).and_then(Value::as_long) {
        None => parts.collect::<MadeArray>().value(),
        Some(at) => {
            let part = usize::try_from(at).ok().and_then(|at| parts.nth(at));
            Value::array(part.into_iter().collect())
        }
    }
}

/// Cuts what the pattern matches from the ends, as often as it does.
fn trim(scratch: &mut Scratch, it: &[Value], at_start: bool, at_end: bool) -> Value {
    let pattern = text(&it[0]);
    let mut text = text(&it[1]).to_owned();
    if at_start {
        let pattern: Arc<str> = Arc::from(format!("^(?:{pattern})+"));
        let Some(regex) = scratch.regex(&pattern) else { return Value::text("") };
        let end = regex.find(&text).map_or(0, |found| found.end());
        text.drain(..end);
    }
    if at_end {
        let pattern: Arc<str> = Arc::from(format!("(?:{pattern})+$"));
        let Some(regex) = scratch.regex(&pattern) else { return Value::text("") };
        if let Some(found) = regex.find(&text) {
            text.truncate(found.start());
        }
    }
    Value::text(text)
}

fn joined<'a>(delimiter: &str, parts: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut made = MadeText::default();
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            made.push(delimiter);
        }
        made.push(&written(part));
        if made.is_full() {
            break;
        }
    }
    made.value()
}

/// What stands in the place of a match: text as it is, and what groups matched.
enum Rewrite {
    Text(String),
    Group(usize),
}

/// `\1` is what the first group matched.
fn rewrites(text: &str) -> Vec<Rewrite> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(next) => match next.to_digit(10) {
                    Some(group) => {
                        parts.push(Rewrite::Text(std::mem::take(&mut plain)));
                        parts.push(Rewrite::Group(usize::try_from(group).unwrap_or(0)));
                    }
                    None => plain.push(next),
                },
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    parts.push(Rewrite::Text(plain));
    parts
}

fn replaced(scratch: &mut Scratch, hay: &Value, pattern: &Value, rewrite: &Value) -> Value {
    let (Value::String(hay), Value::String(pattern)) = (hay, pattern) else { return Value::Null };
    let Some(regex) = scratch.regex(pattern) else { return Value::Null };
    let rewrites = rewrites(text(rewrite));
    let mut made = MadeText::default();
    let mut last = 0;
    for captures in regex.captures_iter(hay) {
        let Some(whole) = captures.get(0) else { continue };
        made.push(hay.get(last..whole.start()).unwrap_or_default());
        for part in &rewrites {
            match part {
                Rewrite::Text(text) => made.push(text),
                Rewrite::Group(at) => made.push(captures.get(*at).map_or("", |group| group.as_str())),
            }
        }
        last = whole.end();
        if made.is_full() {
            break;
        }
    }
    made.push(hay.get(last..).unwrap_or_default());
    made.value()
}

/// Each old text by its new one. What was replaced is not looked at again, and where two old texts overlap
/// the earlier in the list counts. What is to be replaced by something else than text stays.
fn replaced_texts(hay: &str, olds: &[Value], news: &[Value]) -> Value {
    // `Err` is what was replaced already.
    let mut parts: Vec<Result<&str, &str>> = vec![Ok(hay)];
    for (old, new) in olds.iter().zip(news) {
        let Some(old) = old.as_text().filter(|old| !old.is_empty()) else { continue };
        let new = new.as_text().unwrap_or(old);
        if !parts.iter().any(|part| part.is_ok_and(|part| part.contains(old))) {
            continue;
        }
        let mut next = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Err(_) => next.push(part),
                Ok(text) => {
                    for (at, piece) in text.split(old).enumerate() {
                        if at > 0 {
                            next.push(Err(new));
                        }
                        if !piece.is_empty() {
                            next.push(Ok(piece));
                        }
                    }
                }
            }
        }
        parts = next;
    }
    let mut made = MadeText::default();
    for Ok(text) | Err(text) in parts {
        made.push(text);
    }
    made.value()
}

fn extract(scratch: &mut Scratch, it: &[Value]) -> Value {
    let (Value::String(pattern), hay) = (&it[0], text(&it[2])) else { return Value::Null };
    let group = usize::try_from(it[1].as_long().unwrap_or(0)).unwrap_or(usize::MAX);
    let Some(regex) = scratch.regex(pattern) else { return Value::Null };
    // Where the groups are costs more to find out than where the whole is.
    let found = match group {
        0 => regex.find(hay),
        group => regex.captures(hay).and_then(|captures| captures.get(group)),
    };
    extracted(found.map(|found| found.as_str()), it.get(3))
}

/// What `extract` makes of what it found.
pub(crate) fn extracted(found: Option<&str>, kind: Option<&Value>) -> Value {
    let found = found.map_or(Value::Null, Value::text);
    match kind.and_then(|kind| Type::of(text(kind))) {
        Some(kind) => convert(&found, kind),
        None => found,
    }
}

/// `extract_all(pattern, [groups,] text)`
fn extract_all(scratch: &mut Scratch, it: &[Value]) -> Value {
    let (groups, hay) = match it {
        [_, groups, hay] => (items(groups), text(hay)),
        _ => (None, it[1].as_text().unwrap_or_default()),
    };
    let Value::String(pattern) = &it[0] else { return Value::Null };
    let Some(regex) = scratch.regex(pattern) else { return Value::Null };
    let wanted: Vec<usize> = match groups {
        Some(groups) => {
            let group = |it: &Value| match it {
                Value::Long(at) => usize::try_from(*at).ok(),
                Value::String(name) => regex.capture_names().position(|it| it == Some(&**name)),
                _ => None,
            };
            groups.iter().filter_map(group).collect()
        }
        // A pattern without groups is meant as a whole.
        None if regex.captures_len() == 1 => vec![0],
        None => (1..regex.captures_len()).collect(),
    };
    let matches = regex.captures_iter(hay).map(|captures| {
        let mut found = wanted.iter().map(|at| Value::text(captures.get(*at).map_or("", |it| it.as_str())));
        if wanted.len() == 1 {
            found.next().unwrap_or(Value::Null)
        } else {
            found.collect::<MadeArray>().value()
        }
    });
    let all: MadeArray = matches.collect();
    if all.is_empty() { Value::Null } else { all.value() }
}

/// The position of the nth match within so many characters from a start; from the end, if that is negative.
/// The characters are counted anew after each match, as Kusto does.
fn place(it: &[Value], find: impl Fn(&str) -> Option<std::ops::Range<usize>>) -> Value {
    let hay = text(&it[0]);
    let given = |at: usize| it.get(at).and_then(Value::as_long);
    let (start, length) = (given(2).unwrap_or(0), given(3).unwrap_or(-1));
    let Ok(occurrence) = usize::try_from(given(4).unwrap_or(1)) else { return Value::Null };
    if length < -1 {
        return Value::Null;
    }
    // -1 means all of them.
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // Where characters begin, and the end.
    let places: Vec<usize> = hay.char_indices().map(|(at, _)| at).chain([hay.len()]).collect();
    let count = places.len() - 1;
    let mut from = match usize::try_from(start) {
        Ok(start) => start,
        Err(_) => count.saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    for nth in 1..=occurrence {
        let (Some(begin), Some(end)) = (places.get(from), places.get(from.saturating_add(length).min(count)))
        else {
            break;
        };
        let Some(found) = hay.get(*begin..*end).and_then(&find) else { break };
        let character = |byte: usize| places.partition_point(|at| *at < begin + byte);
        if nth == occurrence {
            return long(character(found.start));
        }
        from = character(found.end).max(character(found.start) + 1);
    }
    Value::Long(-1)
}

fn count_of(scratch: &mut Scratch, it: &[Value]) -> Value {
    let (hay, Value::String(needle)) = (text(&it[0]), &it[1]) else { return Value::Null };
    match it.get(2).map_or("normal", text).to_ascii_lowercase().as_str() {
        "regex" => scratch.regex(needle).map_or(Value::Null, |regex| long(regex.find_iter(hay).count())),
        _ => long(overlapping(hay.as_bytes(), needle.as_bytes())),
    }
}

/// How often the needle begins in the hay, in time that grows with both but not with their product (Knuth,
/// Morris, Pratt).
fn overlapping(hay: &[u8], needle: &[u8]) -> usize {
    if needle.is_empty() || needle.len() > hay.len() {
        return 0;
    }
    // For each length of a beginning of the needle, how much of its end is a beginning, too.
    let mut borders = vec![0; needle.len()];
    let mut border = 0;
    for at in 1..needle.len() {
        while border > 0 && needle[at] != needle[border] {
            border = borders[border - 1];
        }
        border += usize::from(needle[at] == needle[border]);
        borders[at] = border;
    }
    let (mut count, mut matched) = (0, 0);
    for byte in hay {
        while matched > 0 && *byte != needle[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(*byte == needle[matched]);
        if matched == needle.len() {
            count += 1;
            matched = borders[matched - 1];
        }
    }
    count
}

/// Each character of the first text by the one in the same place of the second, or by its last.
fn translate(_: &mut Scratch, it: &[Value]) -> Value {
    let to: Vec<char> = text(&it[1]).chars().collect();
    let mut by: HashMap<char, Option<char>> = HashMap::new();
    for (at, character) in text(&it[0]).chars().enumerate() {
        by.entry(character).or_insert_with(|| to.get(at).or(to.last()).copied());
    }
    let translated = text(&it[2]).chars().filter_map(|it| by.get(&it).copied().unwrap_or(Some(it)));
    Value::text(translated.collect::<String>())
}

/// Kusto's own limit.
const REPEATS_MAX: usize = 1024;

const TEXT: Returns = Returns::Is(Type::String);
const LONG: Returns = Returns::Is(Type::Long);
const TRUTH: Returns = Returns::Is(Type::Bool);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
