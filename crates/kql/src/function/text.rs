//! Texts. Positions and lengths count characters, from 0.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Param::{Any, Bool, Dynamic, Long, Text};
use super::{Function, Returns, Scratch, convert};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["tolower"], &[Text], TEXT, |_, it| Value::text(text(&it[0]).to_lowercase())).keeps_name(),
    Function::new(&["toupper"], &[Text], TEXT, |_, it| Value::text(text(&it[0]).to_uppercase())).keeps_name(),
    Function::new(&["strlen"], &[Text], LONG, |_, it| long(text(&it[0]).chars().count())),
    Function::new(&["string_size"], &[Text], LONG, |_, it| long(text(&it[0]).len())),
    Function::new(&["substring"], &[Text, Long], TEXT, substring).optional(&[Long]),
    Function::new(&["strcat"], &[Any], TEXT, |_, it| {
        Value::text(it.iter().map(Value::to_text).collect::<String>())
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["strcat_delim"], &[Text, Any], TEXT, |_, it| {
        let parts: Vec<String> = it[1..].iter().map(Value::to_text).collect();
        Value::text(parts.join(text(&it[0])))
    })
    .rest(Any)
    .sees_null(),
    Function::new(&["strcat_array"], &[Dynamic, Text], TEXT, |_, it| match &it[0] {
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(Value::to_text).collect();
            Value::text(parts.join(text(&it[1])))
        }
        _ => Value::text(""),
    }),
    Function::new(&["split"], &[Text, Text], DYNAMIC, split).optional(&[Long]),
    Function::new(&["trim"], &[Text, Text], TEXT, |scratch, it| trim(scratch, it, true, true)),
    Function::new(&["trim_start"], &[Text, Text], TEXT, |scratch, it| trim(scratch, it, true, false)),
    Function::new(&["trim_end"], &[Text, Text], TEXT, |scratch, it| trim(scratch, it, false, true)),
    Function::new(&["replace_string"], &[Text, Text, Text], TEXT, |_, it| {
        if text(&it[1]).is_empty() {
            return it[0].clone();
        }
        bounded_replace(text(&it[0]), text(&it[1]), text(&it[2]))
    }),
    Function::new(&["replace_strings"], &[Text, Dynamic, Dynamic], TEXT, replace_strings),
    Function::new(&["replace_regex"], &[Text, Text, Text], TEXT, |scratch, it| {
        replaced(scratch, &it[0], &it[1], &it[2])
    }),
    // The old name has the pattern first and the text last.
    Function::new(&["replace"], &[Text, Text, Text], TEXT, |scratch, it| {
        replaced(scratch, &it[2], &it[0], &it[1])
    }),
    Function::new(&["extract"], &[Text, Long, Text], Returns::By(extracted_type), extract).optional(&[Text]),
    Function::new(&["extract_all", "extractall"], &[Text, Any], DYNAMIC, extract_all).optional(&[Text]),
    Function::new(&["indexof"], &[Text, Text], LONG, index_of).optional(&[Long, Long, Long]),
    Function::new(&["indexof_regex"], &[Text, Text], LONG, |scratch, it| {
        let (Value::String(hay), Value::String(pattern)) = (&it[0], &it[1]) else { return Value::Null };
        let hay = Arc::clone(hay);
        match scratch.regex(pattern) {
            Some(regex) => regex.find(&hay).map_or(Value::Long(-1), |found| {
                long(hay.get(..found.start()).unwrap_or_default().chars().count())
            }),
            None => Value::Null,
        }
    }),
    Function::new(&["countof"], &[Text, Text], LONG, count_of).optional(&[Text]),
    Function::new(&["reverse"], &[Text], TEXT, |_, it| {
        Value::text(text(&it[0]).chars().rev().collect::<String>())
    }),
    Function::new(&["strrep"], &[Any, Long], TEXT, |_, it| {
        let times = usize::try_from(it[1].as_long().unwrap_or(0)).unwrap_or(0).min(1024);
        let delimiter = it.get(2).map(Value::to_text).unwrap_or_default();
        Value::text(vec![it[0].to_text(); times].join(&delimiter))
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
    Function::new(&["has_any_index"], &[Text, Dynamic], LONG, |_, it| match &it[1] {
        Value::Array(needles) => {
            let is_there = |needle: &Value| super::search::has_term(text(&it[0]), &needle.to_text(), false);
            needles.iter().position(is_there).map_or(Value::Long(-1), long)
        }
        _ => Value::Null,
    }),
    Function::new(&["base64_encode_tostring", "base64_encodestring"], &[Text], TEXT, |_, it| {
        Value::text(STANDARD.encode(text(&it[0])))
    }),
    Function::new(&["base64_decode_tostring", "base64_decodestring"], &[Text], TEXT, |_, it| {
        let bytes = STANDARD.decode(text(&it[0])).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map_or(Value::text(""), Value::text)
    }),
    Function::new(&["url_encode", "url_encode_component"], &[Text], TEXT, |_, it| {
        Value::text(utf8_percent_encode(text(&it[0]), URL_UNSAFE).to_string())
    }),
    Function::new(&["url_decode"], &[Text], TEXT, |_, it| {
        Value::text(percent_decode_str(text(&it[0])).decode_utf8_lossy())
    }),
    Function::new(&["parse_csv"], &[Text], DYNAMIC, |_, it| parse_csv(text(&it[0]))),
    Function::new(&["parse_url"], &[Text], DYNAMIC, |_, it| parse_url(text(&it[0]))),
    Function::new(&["parse_urlquery"], &[Text], DYNAMIC, |_, it| {
        let query = text(&it[0]).trim_start_matches('?');
        Value::object(vec![(Arc::from("Query Parameters"), query_parameters(query))])
    }),
    Function::new(&["parse_path"], &[Text], DYNAMIC, |_, it| parse_path(text(&it[0]))),
    Function::new(&["parse_version"], &[Text], Returns::Is(Type::Decimal), |_, it| {
        parse_version(text(&it[0]))
    }),
    Function::new(&["format_bytes"], &[Any], TEXT, format_bytes).optional(&[Long, Text]),
    Function::new(&["to_utf8", "unicode_codepoints_from_string"], &[Text], DYNAMIC, |_, it| {
        Value::array(text(&it[0]).chars().map(|it| Value::Long(i64::from(u32::from(it)))).collect())
    }),
    Function::new(&["make_string", "unicode_codepoints_to_string"], &[Any], TEXT, |_, it| {
        let mut made = String::new();
        for value in it {
            let points =
                if let Value::Array(items) = value { items.as_slice() } else { std::slice::from_ref(value) };
            let point =
                |it: &Value| it.as_long().and_then(|it| u32::try_from(it).ok()).and_then(char::from_u32);
            made.extend(points.iter().filter_map(point));
        }
        Value::text(made)
    })
    .rest(Any),
    Function::new(&["string_contains_any"], &[Text, Dynamic], TRUTH, |_, it| match &it[1] {
        Value::Array(needles) => {
            let is_there = |needle: &Value| super::search::contains(text(&it[0]), &needle.to_text(), false);
            Value::Bool(needles.iter().any(is_there))
        }
        _ => Value::Null,
    })
    .optional(&[Bool]),
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
    let parts: Vec<Value> = if delimiter.is_empty() {
        text.chars().map(|it| Value::text(it.to_string())).collect()
    } else {
        text.split(delimiter).map(Value::text).collect()
    };
    match it.get(2).and_then(Value::as_long) {
        None => Value::array(parts),
        Some(at) => {
            let at = usize::try_from(at).ok().and_then(|at| parts.get(at)).cloned();
            Value::array(at.into_iter().collect())
        }
    }
}

/// Cuts what the pattern matches from the ends.
fn trim(scratch: &mut Scratch, it: &[Value], at_start: bool, at_end: bool) -> Value {
    let pattern = text(&it[0]);
    let mut text = text(&it[1]).to_owned();
    if at_start {
        let pattern: Arc<str> = Arc::from(format!("^(?:{pattern})"));
        let Some(regex) = scratch.regex(&pattern) else { return Value::text("") };
        let end = regex.find(&text).map_or(0, |found| found.end());
        text.drain(..end);
    }
    if at_end {
        let pattern: Arc<str> = Arc::from(format!("(?:{pattern})$"));
        let Some(regex) = scratch.regex(&pattern) else { return Value::text("") };
        if let Some(found) = regex.find(&text) {
            text.truncate(found.start());
        }
    }
    Value::text(text)
}

fn replaced(scratch: &mut Scratch, hay: &Value, pattern: &Value, rewrite: &Value) -> Value {
    let (Value::String(hay), Value::String(pattern)) = (hay, pattern) else { return Value::Null };
    let rewrite = text(rewrite);
    // Kusto's `\1` is our `${1}`, and a `$` means itself.
    let mut ours = String::new();
    let mut characters = rewrite.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => ours.push_str("$$"),
            '\\' => match characters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    ours.push_str("${");
                    ours.push(digit);
                    ours.push('}');
                }
                Some(other) => ours.push(other),
                None => ours.push('\\'),
            },
            other => ours.push(other),
        }
    }
    let hay = Arc::clone(hay);
    let Some(regex) = scratch.regex(pattern) else { return Value::Null };
    let mut made = String::new();
    let mut last = 0;
    for captures in regex.captures_iter(&hay) {
        let Some(whole) = captures.get(0) else { continue };
        made.push_str(hay.get(last..whole.start()).unwrap_or_default());
        captures.expand(&ours, &mut made);
        last = whole.end();
        if made.len() > REPLACED_BYTES_MAX {
            break;
        }
    }
    made.push_str(hay.get(last..).unwrap_or_default());
    Value::text(made)
}

/// Stops soon after what any value may have: whoever called refuses it then.
fn bounded_replace(hay: &str, old: &str, new: &str) -> Value {
    let mut made = String::with_capacity(hay.len());
    let mut rest = hay;
    while let Some((before, after)) = rest.split_once(old) {
        made.push_str(before);
        made.push_str(new);
        rest = after;
        if made.len() > REPLACED_BYTES_MAX {
            break;
        }
    }
    made.push_str(rest);
    Value::text(made)
}

fn replace_strings(_: &mut Scratch, it: &[Value]) -> Value {
    let (Value::Array(olds), Value::Array(news)) = (&it[1], &it[2]) else { return it[0].clone() };
    let mut value = it[0].clone();
    for (at, old) in olds.iter().enumerate() {
        let new = news.get(at).map(Value::to_text).unwrap_or_default();
        let old = old.to_text();
        if !old.is_empty() {
            value = bounded_replace(text(&value), &old, &new);
        }
    }
    value
}

fn extracted_type(_: &[Type]) -> Type {
    Type::String
}

fn extract(scratch: &mut Scratch, it: &[Value]) -> Value {
    let (Value::String(pattern), Value::String(hay)) = (&it[0], &it[2]) else { return Value::Null };
    let hay = Arc::clone(hay);
    let group = usize::try_from(it[1].as_long().unwrap_or(0)).unwrap_or(usize::MAX);
    let Some(regex) = scratch.regex(pattern) else { return Value::Null };
    let found = regex.captures(&hay).and_then(|captures| captures.get(group));
    let found = found.map_or(Value::Null, |found| Value::text(found.as_str()));
    match it.get(3).and_then(|kind| Type::of(text(kind))) {
        Some(kind) => convert(&found, kind),
        None => found,
    }
}

fn extract_all(scratch: &mut Scratch, it: &[Value]) -> Value {
    // `extract_all(pattern, [groups,] text)`
    let (groups, hay) = match it {
        [_, Value::Array(groups), Value::String(hay)] => (Some(Arc::clone(groups)), Arc::clone(hay)),
        [_, Value::String(hay)] => (None, Arc::clone(hay)),
        _ => return Value::Null,
    };
    let Value::String(pattern) = &it[0] else { return Value::Null };
    let Some(regex) = scratch.regex(pattern) else { return Value::Null };
    let wanted: Vec<usize> = match &groups {
        Some(groups) => {
            let group = |it: &Value| match it {
                Value::Long(at) => usize::try_from(*at).ok(),
                Value::String(name) => regex.capture_names().position(|it| it == Some(&**name)),
                _ => None,
            };
            groups.iter().filter_map(group).collect()
        }
        None => (1..regex.captures_len()).collect(),
    };
    let mut all = Vec::new();
    for captures in regex.captures_iter(&hay).take(ITEMS_MAX) {
        let group = |at: &usize| Value::text(captures.get(*at).map_or("", |found| found.as_str()));
        let mut found: Vec<Value> = wanted.iter().map(group).collect();
        all.push(if found.len() == 1 { found.remove(0) } else { Value::array(found) });
    }
    if all.is_empty() { Value::Null } else { Value::array(all) }
}

fn index_of(_: &mut Scratch, it: &[Value]) -> Value {
    let (hay, needle) = (text(&it[0]), text(&it[1]));
    let given = |at: usize| it.get(at).and_then(Value::as_long);
    let count = i64::try_from(hay.chars().count()).unwrap_or(i64::MAX);
    let start = match given(2).unwrap_or(0) {
        start if start < 0 => (count + start).max(0),
        start => start,
    };
    let length = given(3).filter(|length| *length >= 0);
    let occurrence = given(4).unwrap_or(1);
    if start > count || occurrence < 1 {
        return Value::Long(-1);
    }
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    let take = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    let part: String = hay.chars().skip(skip).take(take).collect();
    let nth = usize::try_from(occurrence - 1).unwrap_or(usize::MAX);
    match part.match_indices(needle).nth(nth) {
        Some((at, _)) => {
            let before = part.get(..at).unwrap_or_default().chars().count();
            i64::try_from(before).map_or(Value::Null, |before| Value::Long(before + start))
        }
        None => Value::Long(-1),
    }
}

fn count_of(scratch: &mut Scratch, it: &[Value]) -> Value {
    let (Value::String(hay), Value::String(needle)) = (&it[0], &it[1]) else { return Value::Null };
    if it.get(2).map(text) == Some("regex") {
        let hay = Arc::clone(hay);
        return scratch.regex(needle).map_or(Value::Null, |regex| long(regex.find_iter(&hay).count()));
    }
    if needle.is_empty() {
        return Value::Long(0);
    }
    // These may overlap.
    let count =
        hay.char_indices().filter(|(at, _)| hay.get(*at..).is_some_and(|it| it.starts_with(&**needle)));
    long(count.count())
}

fn translate(_: &mut Scratch, it: &[Value]) -> Value {
    let from: Vec<char> = text(&it[0]).chars().collect();
    let to: Vec<char> = text(&it[1]).chars().collect();
    let translated =
        text(&it[2]).chars().filter_map(|character| match from.iter().position(|it| *it == character) {
            None => Some(character),
            Some(at) => to.get(at).or(to.last()).copied(),
        });
    Value::text(translated.collect::<String>())
}

/// The fields of one line.
fn parse_csv(line: &str) -> Value {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(Value::text(std::mem::take(&mut field))),
            '\r' | '\n' if !is_quoted => break,
            other => field.push(other),
        }
    }
    fields.push(Value::text(field));
    Value::array(fields)
}

fn query_parameters(query: &str) -> Value {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Arc::from(decode(name)), Value::text(decode(value)))
    });
    Value::object(pairs.collect())
}

fn parse_url(url: &str) -> Value {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let member = |name: &str, value: &str| (Arc::from(name), Value::text(value));
    Value::object(vec![
        member("Scheme", scheme),
        member("Host", host),
        member("Port", port),
        member("Path", path),
        member("Username", user),
        member("Password", password),
        (Arc::from("Query Parameters"), query_parameters(query)),
        member("Fragment", fragment),
    ])
}

fn parse_path(path: &str) -> Value {
    let (scheme, rest) = path.split_once("://").map_or(("", path), |(scheme, rest)| (scheme, rest));
    let at = rest.rfind(['/', '\\']);
    let (folder, file) = at.map_or(("", rest), |at| {
        (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default())
    });
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let name = folder.rsplit(['/', '\\']).next().unwrap_or_default();
    let root =
        if scheme.is_empty() { rest.get(..2).filter(|it| it.ends_with(':')).unwrap_or_default() } else { "" };
    let member = |name: &str, value: &str| (Arc::from(name), Value::text(value));
    Value::object(vec![
        member("Scheme", scheme),
        member("RootPath", root),
        member("DirectoryPath", folder),
        member("DirectoryName", name),
        member("Filename", file),
        member("Extension", extension),
        member("AlternateDataStreamName", ""),
    ])
}

/// A number that orders as versions of up to four parts do.
fn parse_version(version: &str) -> Value {
    let mut parts = [0_u32; 4];
    let words: Vec<&str> = version.trim().split('.').collect();
    if words.len() > 4 {
        return Value::Null;
    }
    for (slot, word) in parts.iter_mut().zip(&words) {
        match word.parse::<u32>() {
            Ok(number) if number < 100_000_000 => *slot = number,
            _ => return Value::Null,
        }
    }
    Value::Real(parts.iter().fold(0.0, |sum, part| sum * 1e8 + f64::from(*part)))
}

fn format_bytes(_: &mut Scratch, it: &[Value]) -> Value {
    let Some(bytes) = convert(&it[0], Type::Real).as_number() else { return Value::text("") };
    let units = ["Bytes", "KB", "MB", "GB", "TB", "PB", "EB"];
    let wanted = it.get(2).map(text).and_then(|unit| units.iter().position(|it| *it == unit));
    let mut scaled = bytes;
    let mut unit = 0;
    while wanted.map_or(scaled.abs() >= 1024.0 && unit + 1 < units.len(), |wanted| unit < wanted) {
        scaled /= 1024.0;
        unit += 1;
    }
    let digits = usize::try_from(it.get(1).and_then(Value::as_long).unwrap_or(0).clamp(0, 10)).unwrap_or(0);
    let number = format!("{scaled:.digits$}");
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    Value::text(format!("{number} {}", units[unit]))
}

/// What a URL's component may not have as it is.
const URL_UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// A little more than any value may have.
const REPLACED_BYTES_MAX: usize = 2 * 1024 * 1024;
const ITEMS_MAX: usize = 65_536;

const TEXT: Returns = Returns::Is(Type::String);
const LONG: Returns = Returns::Is(Type::Long);
const TRUTH: Returns = Returns::Is(Type::Bool);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
