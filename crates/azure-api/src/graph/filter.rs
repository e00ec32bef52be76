//! `$filter` of the directory's lists: OData's comparisons, as far as `az ad` and its like have them.
//!
//! `eq`, `ne`, `in (…)`, `startsWith(name, 'x')`, `names/any(n: n eq 'x')`, `and`, `or`, `not` and parentheses; the case of
//! names and of texts does not matter, as in Graph.

use serde_json::Value;

use super::GraphError;
use crate::filter::{BYTES_MAX, Compare, DEPTH_MAX, Parser, Token, tokens};

/// A filter that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Either(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// A property, in lower case, and what it is compared with.
    Is(String, Compare, Value),
    /// Any of a property's texts.
    Any(String, Compare, Value),
}

impl Condition {
    /// # Errors
    /// 400, with the reason.
    pub(crate) fn parse(text: &str) -> Result<Self, GraphError> {
        let parsed = if text.len() > BYTES_MAX {
            Err(format!("it has more than {BYTES_MAX} bytes"))
        } else {
            tokens(text).and_then(|tokens| Grammar { parser: Parser::new(&tokens), depth: 0 }.whole())
        };
        parsed.map_err(|why| {
            let shown: String = text.chars().take(SHOWN_CHARS).collect();
            GraphError::bad(&format!("Invalid filter clause '{shown}': {why}."))
        })
    }

    /// # Errors
    /// 400 for a property that is not one of these.
    pub(crate) fn check(&self, known: &[&str]) -> Result<(), GraphError> {
        match self {
            Self::Either(parts) | Self::All(parts) => parts.iter().try_for_each(|part| part.check(known)),
            Self::Not(inner) => inner.check(known),
            Self::Is(name, ..) | Self::Any(name, ..) => {
                if known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    return Ok(());
                }
                let message = format!(
                    "Invalid filter clause: there is no '{name}' to filter by, but {}.",
                    known.join(", ")
                );
                Err(GraphError::bad(&message))
            }
        }
    }

    /// True if it lets the row through.
    pub(crate) fn holds(&self, row: &Value) -> bool {
        match self {
            Self::Either(parts) => parts.iter().any(|part| part.holds(row)),
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
            Self::Not(inner) => !inner.holds(row),
            Self::Is(name, compare, wanted) => is(property(row, name), *compare, wanted),
            Self::Any(name, compare, wanted) => {
                let found = property(row, name).as_array();
                found.is_some_and(|found| found.iter().any(|one| is(one, *compare, wanted)))
            }
        }
    }
}

fn property<'a>(row: &'a Value, name: &str) -> &'a Value {
    let found =
        row.as_object().and_then(|row| row.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)));
    found.map_or(&Value::Null, |(_, value)| value)
}

fn is(found: &Value, compare: Compare, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::String(found), Value::String(wanted)) => compare.holds(found, wanted, true),
        (found, wanted) => match compare {
            Compare::Equal => found == wanted,
            Compare::Unequal => found != wanted,
            Compare::Begins | Compare::Contains => false,
        },
    }
}

struct Grammar<'a> {
    parser: Parser<'a>,
    depth: usize,
}

impl Grammar<'_> {
    fn whole(mut self) -> Result<Condition, String> {
        let condition = self.either()?;
        self.parser.ends()?;
        Ok(condition)
    }

    fn either(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.parser.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Either(parts) })
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.one()?];
        while self.parser.takes_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it is deeper than {DEPTH_MAX}"));
        }
        let condition = if self.parser.takes_word("not") {
            Condition::Not(Box::new(self.one()?))
        } else if self.parser.takes(&Token::Open) {
            let inner = self.either()?;
            self.parser.wants(&Token::Close)?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition, String> {
        let word = self.word()?;
        if word == "startswith" {
            self.parser.wants(&Token::Open)?;
            let name = self.word()?;
            self.parser.wants(&Token::Comma)?;
            let wanted = self.literal()?;
            self.parser.wants(&Token::Close)?;
            return Ok(Condition::Is(name, Compare::Begins, wanted));
        }
        if let Some(name) = word.strip_suffix("/any") {
            return self.any(name.to_owned());
        }
        if self.parser.takes_word("in") {
            self.parser.wants(&Token::Open)?;
            let mut parts = Vec::new();
            loop {
                parts.push(Condition::Is(word.clone(), Compare::Equal, self.literal()?));
                if !self.parser.takes(&Token::Comma) {
                    break;
                }
            }
            self.parser.wants(&Token::Close)?;
            return Ok(Condition::Either(parts));
        }
        let compare = self.parser.operator()?;
        Ok(Condition::Is(word, compare, self.literal()?))
    }

    /// `(n: n eq 'x')`, after the property's name.
    fn any(&mut self, name: String) -> Result<Condition, String> {
        self.parser.wants(&Token::Open)?;
        let variable = self.word()?;
        self.parser.wants(&Token::Colon)?;
        let (compare, wanted) = if self.parser.takes_word("startswith") {
            self.parser.wants(&Token::Open)?;
            self.parser.wants(&Token::Word(variable))?;
            self.parser.wants(&Token::Comma)?;
            let wanted = self.literal()?;
            self.parser.wants(&Token::Close)?;
            (Compare::Begins, wanted)
        } else {
            self.parser.wants(&Token::Word(variable))?;
            (self.parser.operator()?, self.literal()?)
        };
        self.parser.wants(&Token::Close)?;
        Ok(Condition::Any(name, compare, wanted))
    }

    fn word(&mut self) -> Result<String, String> {
        match self.parser.next()? {
            Token::Word(word) => Ok(word),
            other => Err(format!("a property was expected, not {}", other.shown())),
        }
    }

    fn literal(&mut self) -> Result<Value, String> {
        match self.parser.next()? {
            Token::Text(text) => Ok(text.into()),
            Token::Word(word) if word == "true" || word == "false" => Ok((word == "true").into()),
            Token::Word(word) if word == "null" => Ok(Value::Null),
            other => Err(format!("a text in quotes was expected, not {}", other.shown())),
        }
    }
}

/// Of a filter, in an error.
const SHOWN_CHARS: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(filter: &str) -> bool {
        let row = json!({
            "id": "6f1d", "displayName": "ci-Team", "mail": null, "accountEnabled": true,
            "servicePrincipalNames": ["ci-team", "6f1d"],
        });
        Condition::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error:?}")).holds(&row)
    }

    #[test]
    fn filters_let_through_what_they_say() {
        for (filter, wanted) in [
            ("displayName eq 'CI-team'", true),
            ("displayname ne 'ci-team'", false),
            ("startswith(displayName,'ci-')", true),
            ("startsWith(displayName, 'team')", false),
            ("servicePrincipalNames/any(c:c eq '6F1D')", true),
            ("servicePrincipalNames/any(c: c eq 'ci')", false),
            ("servicePrincipalNames/any(x:startswith(x,'ci'))", true),
            ("displayName/any(c:c eq 'ci-team')", false),
            ("id in ('a', '6f1d') and accountEnabled eq true", true),
            ("id in ('a') or not (mail eq null)", false),
            ("mail eq 'x' or mail ne 'x' and accountEnabled ne false", true),
            ("nothing eq 'x'", false),
        ] {
            assert_eq!(holds(filter), wanted, "{filter}");
        }
    }

    #[test]
    fn what_does_not_parse_is_refused_with_a_reason() {
        let deep = format!("{}id eq 'a'{}", "(".repeat(100), ")".repeat(100));
        for (filter, why) in [
            ("id", "it ends too soon"),
            ("id eq 'a' id eq 'b'", "'id' is left over"),
            ("id gt 'a'", "eq or ne was expected"),
            ("names/any(c:d eq 'x')", "'c' is missing"),
            ("names/any(c c eq 'x')", "':' is missing"),
            ("id in ()", "a text in quotes was expected"),
            ("'a' eq id", "a property was expected"),
            (&deep, "it is deeper than 32"),
            (&format!("id eq '{}'", "a".repeat(10_000)), "it has more than 8192 bytes"),
        ] {
            let error = format!("{:?}", Condition::parse(filter).expect_err(filter));
            assert!(error.contains("Request_BadRequest") && error.contains(why), "{filter}: {error}");
        }
        let unknown = Condition::parse("id eq 'a' and not (colour eq 'red')").expect("parses");
        let error = format!("{:?}", unknown.check(&["id"]).expect_err("no property"));
        assert!(error.contains("there is no 'colour'"), "{error}");
    }
}
