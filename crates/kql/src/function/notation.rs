//! Texts in a notation of their own: records, paths, versions, command lines, sizes.

use std::sync::Arc;

use super::Param::{Long, Real, Text};
use super::bounded::MadeArray;
use super::text::text;
use super::{Function, Returns, Scratch};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["parse_csv"], &[Text], DYNAMIC, |_, it| parse_csv(text(&it[0]))).keeps_name(),
    Function::new(&["parse_path"], &[Text], DYNAMIC, |_, it| parse_path(text(&it[0]))),
    // Kusto's are decimals; ours are reals, which cannot tell such large numbers apart. Text can, and
    // orders the same.
    Function::new(&["parse_version"], &[Text], TEXT, |_, it| parse_version(text(&it[0]))),
    Function::new(&["parse_command_line"], &[Text, Text], DYNAMIC, parse_command_line),
    Function::new(&["format_bytes"], &[Real], TEXT, format_bytes).optional(&[Long, Text]),
];

/// The fields of the first record.
fn parse_csv(line: &str) -> Value {
    let mut fields = MadeArray::default();
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
    fields.value()
}

fn parse_path(path: &str) -> Value {
    let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
    let at = rest.rfind(['/', '\\']).map_or(0, |at| at + 1);
    let (folder, file) = rest.split_at(at);
    let folder = folder.strip_suffix(['/', '\\']).unwrap_or(folder);
    let (file, stream) = file.split_once(':').unwrap_or((file, ""));
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let name = folder.rsplit(['/', '\\']).next().unwrap_or_default();
    // `\\?\C:\` is a long form of `C:\`.
    let drive = rest.strip_prefix(r"\\?\").unwrap_or(rest);
    let root = drive.get(..2).filter(|it| it.ends_with(':')).unwrap_or_default();
    let member = |name: &str, value: &str| (Arc::from(name), Value::text(value));
    Value::object(vec![
        member("Scheme", scheme),
        member("RootPath", root),
        member("DirectoryPath", folder),
        member("DirectoryName", name),
        member("Filename", file),
        member("Extension", extension),
        member("AlternateDataStreamName", stream),
    ])
}

/// Up to four numbers of up to eight digits, so written that they order as versions do.
fn parse_version(version: &str) -> Value {
    let mut parts = [0_u32; 4];
    let words: Vec<&str> = version.trim().splitn(5, '.').collect();
    if words.len() > parts.len() {
        return Value::Null;
    }
    for (slot, word) in parts.iter_mut().zip(words) {
        let is_number = (1..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
        match word.parse() {
            Ok(number) if is_number => *slot = number,
            _ => return Value::Null,
        }
    }
    Value::text(parts.map(|part| format!("{part:08}")).concat())
}

/// As Windows takes command lines apart: the only way that Kusto knows, too.
fn parse_command_line(scratch: &mut Scratch, it: &[Value]) -> Value {
    if !text(&it[1]).eq_ignore_ascii_case("windows") {
        scratch.fail("parse_command_line(): the only type of command lines is 'windows'.".to_owned());
        return Value::Null;
    }
    let mut arguments = MadeArray::default();
    let mut characters = text(&it[0]).trim().chars().peekable();
    while characters.peek().is_some() {
        let mut argument = String::new();
        let mut is_quoted = false;
        while let Some(character) = characters.next() {
            match character {
                '\\' => {
                    let mut slashes = 1;
                    while characters.next_if_eq(&'\\').is_some() {
                        slashes += 1;
                    }
                    // Before a quote they come in pairs, and one without a partner is for the quote.
                    let is_before_quote = characters.peek() == Some(&'"');
                    let kept = if is_before_quote { slashes / 2 } else { slashes };
                    argument.extend(std::iter::repeat_n('\\', kept));
                    if is_before_quote && slashes % 2 == 1 {
                        argument.extend(characters.next());
                    }
                }
                '"' if is_quoted && characters.next_if_eq(&'"').is_some() => argument.push('"'),
                '"' => is_quoted = !is_quoted,
                ' ' | '\t' if !is_quoted => break,
                other => argument.push(other),
            }
        }
        arguments.push(Value::text(argument));
        while characters.next_if(|it| matches!(it, ' ' | '\t')).is_some() {}
    }
    arguments.value()
}

fn format_bytes(_: &mut Scratch, it: &[Value]) -> Value {
    let Some(bytes) = it[0].as_number() else { return Value::Null };
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

const TEXT: Returns = Returns::Is(Type::String);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
