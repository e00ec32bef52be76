//! Text to tokens.

use std::sync::Arc;

use crate::error::{Position, QueryError};
use crate::time::{parse_datetime, parse_timespan, unit_ticks};
use crate::value::{Type, Value};

/// A token, and where it stands: bytes from and to.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A word: a name, a keyword or a function.
    Word(String),
    /// A number, a text, a moment.
    Literal(Type, Value),
    /// A mark, the longest that fits.
    Mark(&'static str),
    /// `{{…}}`: the id of a saved query.
    Saved(String),
    End,
}

/// The tokens of a query, with one [`Kind::End`] behind them.
///
/// # Errors
/// [`QueryError`] where the text is no token.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let from = lexer.at;
        let kind = lexer.next()?;
        let is_end = kind == Kind::End;
        tokens.push(Token { kind, from, to: lexer.at });
        if is_end {
            return Ok(tokens);
        }
    }
}

/// The error of a token at these bytes.
pub(crate) fn error_at(text: &str, from: usize, to: usize, expected: &str) -> QueryError {
    let before = text.get(..from).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let character = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let token: String = text.get(from..to).unwrap_or_default().chars().take(60).collect();
    let token = if token.is_empty() { "<EOF>".to_owned() } else { token };
    QueryError::grammar(Position { line, character, token, expected: expected.to_owned() })
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fail<T>(&self, from: usize, expected: &str) -> Result<T, QueryError> {
        Err(error_at(self.text, from, self.text.len().min(from + 20), expected))
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|it: char| it.is_whitespace() || it == '\u{feff}');
            let skipped = rest.len() - trimmed.len();
            let comment =
                if trimmed.starts_with("//") { trimmed.find('\n').unwrap_or(trimmed.len()) } else { 0 };
            self.at += skipped + comment;
            if comment == 0 {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Kind, QueryError> {
        let Some(first) = self.peek() else { return Ok(Kind::End) };
        if first.is_ascii_digit() {
            return self.number();
        }
        if let Some(kind) = self.string()? {
            return Ok(kind);
        }
        if first.is_alphabetic() || first == '_' || first == '$' {
            return Ok(self.word());
        }
        if self.rest().starts_with("{{") {
            let from = self.at;
            let Some(end) = self.rest().find("}}") else { return self.fail(from, "'}}'") };
            let id = self.rest().get(2..end).unwrap_or_default().trim().to_owned();
            self.at += end + 2;
            return Ok(Kind::Saved(id));
        }
        let Some(mark) = MARKS.iter().find(|mark| self.rest().starts_with(**mark)) else {
            return self.fail(self.at, "a name, a value or an operator");
        };
        self.at += mark.len();
        Ok(Kind::Mark(mark))
    }

    fn word(&mut self) -> Kind {
        let rest = self.rest();
        let end =
            rest.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == '$')).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default().to_owned();
        self.at += end;
        self.typed(&word).unwrap_or(Kind::Word(word))
    }

    /// `datetime(2020-01-01)` and its like, whose inside has a grammar of its own.
    fn typed(&mut self, word: &str) -> Option<Kind> {
        let kind = literal_type(word)?;
        let rest = self.rest();
        let inside = rest.trim_start().strip_prefix('(')?;
        let (inside, after) = inside.split_once(')')?;
        let text = inside.trim().trim_matches(['"', '\'']);
        let value = if text.eq_ignore_ascii_case("null") {
            Value::Null
        } else {
            match kind {
                Type::DateTime => Value::DateTime(parse_datetime(text)?),
                Type::TimeSpan => Value::TimeSpan(parse_timespan(text)?),
                Type::Int | Type::Long => Value::Long(whole(text)?),
                Type::Real | Type::Decimal => Value::Real(match text.to_ascii_lowercase().as_str() {
                    "+inf" | "inf" => f64::INFINITY,
                    "-inf" => f64::NEG_INFINITY,
                    text => text.parse().ok()?,
                }),
                Type::Bool => Value::Bool(match text.to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return None,
                }),
                _ => match crate::function::convert(&Value::text(text), Type::Guid) {
                    Value::Null => return None,
                    guid => guid,
                },
            }
        };
        self.at = self.text.len() - after.len();
        Some(Kind::Literal(kind, value))
    }

    fn number(&mut self) -> Result<Kind, QueryError> {
        let from = self.at;
        let rest = self.rest();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            let tail = rest.get(2..).unwrap_or_default();
            let len = tail.bytes().take_while(u8::is_ascii_hexdigit).count();
            let number = tail.get(..len).and_then(|digits| u64::from_str_radix(digits, 16).ok());
            self.at += 2 + len;
            return match number {
                Some(number) => Ok(Kind::Literal(Type::Long, Value::Long(number.cast_signed()))),
                None => self.fail(from, "a number of 64 bits"),
            };
        }
        let mut end = digits(rest);
        let mut is_real = false;
        let tail = rest.get(end..).unwrap_or_default();
        if let Some(fraction) = tail.strip_prefix('.')
            && digits(fraction) > 0
        {
            is_real = true;
            end += 1 + digits(fraction);
        }
        let tail = rest.get(end..).unwrap_or_default();
        if let Some(exponent) = tail.strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let len = digits(exponent.get(sign..).unwrap_or_default());
            if len > 0 {
                is_real = true;
                end += 1 + sign + len;
            }
        }
        let number = rest.get(..end).unwrap_or_default();
        let unit = rest.get(end..).unwrap_or_default();
        let unit = unit.get(..unit.bytes().take_while(u8::is_ascii_alphanumeric).count()).unwrap_or_default();
        let kind = if !unit.is_empty() && unit_ticks(unit).is_some() {
            parse_timespan(&format!("{number}{unit}")).map(|ticks| (Type::TimeSpan, Value::TimeSpan(ticks)))
        } else if !unit.is_empty() {
            None
        } else if is_real {
            number.parse().ok().map(|number| (Type::Real, Value::Real(number)))
        } else {
            number.parse().ok().map(|number| (Type::Long, Value::Long(number)))
        };
        let len = end + unit.len();
        let Some((kind, value)) = kind else { return self.fail(from, "a number or a length of time") };
        self.at += len;
        Ok(Kind::Literal(kind, value))
    }

    /// A text in any of its spellings, or `None` if none begins here.
    fn string(&mut self) -> Result<Option<Kind>, QueryError> {
        let from = self.at;
        let rest = self.rest();
        // `h"…"` hides a text from logs; to us it is one like others.
        let shown = match rest.strip_prefix(['h', 'H']) {
            Some(shown) if shown.starts_with(['"', '\'', '@']) => shown,
            _ => rest,
        };
        let skipped = rest.len() - shown.len();
        if let Some(body) = shown.strip_prefix("```") {
            let Some(end) = body.find("```") else { return self.fail(from, "'```'") };
            let text = body.get(..end).unwrap_or_default().to_owned();
            self.at += skipped + 6 + end;
            return Ok(Some(Kind::Literal(Type::String, Value::text(text))));
        }
        let (body, is_verbatim) = match shown.strip_prefix('@') {
            Some(body) if body.starts_with(['"', '\'']) => (body, true),
            Some(_) => return Ok(None),
            None => (shown, false),
        };
        let Some(quote) = body.chars().next().filter(|it| *it == '"' || *it == '\'') else { return Ok(None) };
        let mut text = String::new();
        let mut characters = body.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character == quote {
                if is_verbatim && characters.peek().is_some_and(|(_, next)| *next == quote) {
                    text.push(quote);
                    characters.next();
                    continue;
                }
                self.at += skipped + usize::from(is_verbatim) + at + 1;
                return Ok(Some(Kind::Literal(Type::String, Value::String(Arc::from(text)))));
            }
            if character != '\\' || is_verbatim {
                text.push(character);
                continue;
            }
            match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('a') => text.push('\u{7}'),
                Some('v') => text.push('\u{b}'),
                Some('0') => text.push('\0'),
                Some(it @ ('\\' | '"' | '\'' | '/')) => text.push(it),
                Some(it @ ('u' | 'x')) => {
                    let len = if it == 'u' { 4 } else { 2 };
                    let digits: String = characters.by_ref().take(len).map(|(_, digit)| digit).collect();
                    match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                        Some(character) => text.push(character),
                        None => return self.fail(from, "a character's number after \\u or \\x"),
                    }
                }
                // `'\d'` outside a verbatim text is a common slip: what was meant is plain.
                Some(other) => {
                    text.push('\\');
                    text.push(other);
                }
                None => break,
            }
        }
        self.fail(from, "a closing quote")
    }
}

fn whole(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Longer ones before those that they begin with.
const MARKS: [&str; 31] = [
    "==", "!=", "<>", "<=", ">=", "=~", "!~", "=>", "..", "|", "(", ")", "[", "]", "{", "}", ",", ";", ":",
    ".", "=", "<", ">", "+", "-", "*", "/", "%", "!", "~", "@",
];
/// The type of which `word(…)` writes a value, if something fitting stands there; else it is a call.
pub(crate) fn literal_type(word: &str) -> Option<Type> {
    Some(match word.to_ascii_lowercase().as_str() {
        "datetime" | "date" => Type::DateTime,
        "timespan" | "time" => Type::TimeSpan,
        "guid" => Type::Guid,
        "bool" | "boolean" => Type::Bool,
        "int" => Type::Int,
        "long" => Type::Long,
        "real" | "double" => Type::Real,
        "decimal" => Type::Decimal,
        _ => return None,
    })
}
