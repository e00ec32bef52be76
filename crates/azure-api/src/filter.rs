//! `$filter` of lists of resources: OData's comparisons, as far as Resource Manager has them.
//!
//! `eq`, `ne`, `and`, `or`, `not`, parentheses, `substringof('x', name)`, `startswith(name, 'x')`; the case of names and
//! of what they are compared with does not matter, but for the values of tags.

use crate::error::ArmError;

/// A filter that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Either(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    Is(Compare, Field, String),
}

/// How a property is compared with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Unequal,
    Contains,
    Begins,
}

/// What of a resource can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Type,
    Name,
    Group,
    Location,
    Subscription,
    TagName,
    TagValue,
}

/// A resource, as filters see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filtered {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) location: String,
    pub(crate) subscription: String,
    /// Names and values.
    pub(crate) tags: Vec<(String, String)>,
}

impl Filter {
    /// # Errors
    /// 400, with the reason.
    pub(crate) fn parse(text: &str) -> Result<Self, ArmError> {
        let parsed = if text.len() > BYTES_MAX {
            Err(format!("it has more than {BYTES_MAX} bytes"))
        } else {
            tokens(text).and_then(|tokens| Parser::new(&tokens).whole())
        };
        parsed.map_err(|why| {
            let shown: String = text.chars().take(SHOWN_CHARS).collect();
            let message = format!("Invalid $filter '{shown}' specified in the query string: {why}.");
            ArmError::bad("InvalidFilterInQueryString", message)
        })
    }

    /// True if it lets the resource through. `tagName` and `tagValue` are of one and the same tag.
    pub(crate) fn allows(&self, resource: &Filtered) -> bool {
        let tags = resource.tags.iter().map(Some);
        tags.chain([None])
            .any(|tag| self.holds(resource, tag.map(|(name, value)| (name.as_str(), value.as_str()))))
    }

    fn holds(&self, resource: &Filtered, tag: Option<(&str, &str)>) -> bool {
        match self {
            Self::Either(parts) => parts.iter().any(|part| part.holds(resource, tag)),
            Self::All(parts) => parts.iter().all(|part| part.holds(resource, tag)),
            Self::Not(inner) => !inner.allows(resource),
            Self::Is(compare, field, text) => {
                let found = match field {
                    Field::Type => Some(resource.kind.as_str()),
                    Field::Name => Some(resource.name.as_str()),
                    Field::Group => Some(resource.group.as_str()),
                    Field::Location => Some(resource.location.as_str()),
                    Field::Subscription => Some(resource.subscription.as_str()),
                    Field::TagName if *compare == Compare::Unequal => {
                        return !resource.tags.iter().any(|(name, _)| name.eq_ignore_ascii_case(text));
                    }
                    Field::TagName => tag.map(|(name, _)| name),
                    Field::TagValue => tag.map(|(_, value)| value),
                };
                found.is_some_and(|found| compare.holds(found, text, *field != Field::TagValue))
            }
        }
    }
}

impl Compare {
    /// Whether the text that was found is as wanted; `is_folded`: whatever its case.
    pub(crate) fn holds(self, found: &str, text: &str, is_folded: bool) -> bool {
        let folded = |text: &str| if is_folded { text.to_lowercase() } else { text.to_owned() };
        let (found, text) = (folded(found), folded(text));
        match self {
            Self::Equal => found == text,
            Self::Unequal => found != text,
            Self::Contains => found.contains(&text),
            Self::Begins => found.starts_with(&text),
        }
    }
}

/// A part of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Open,
    Close,
    Comma,
    Colon,
    /// In lower case.
    Word(String),
    Text(String),
}

/// # Errors
/// What has no meaning in a filter.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        found.push(match character {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            ':' => Token::Colon,
            '\'' => {
                let mut literal = String::new();
                loop {
                    match characters.next() {
                        // A quote within is written twice.
                        Some('\'') if characters.next_if_eq(&'\'').is_some() => literal.push('\''),
                        Some('\'') => break,
                        Some(other) => literal.push(other),
                        None => return Err("a text has no end".to_owned()),
                    }
                }
                Token::Text(literal)
            }
            blank if blank.is_whitespace() => continue,
            first if first.is_ascii_alphabetic() => {
                let mut word = String::from(first);
                while let Some(next) = characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '/')
                {
                    word.push(next);
                }
                Token::Word(word.to_ascii_lowercase())
            }
            other => return Err(format!("'{other}' has no meaning there")),
        });
    }
    Ok(found)
}

/// What is left of a filter.
pub(crate) struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, depth: 0 }
    }
}

impl Parser<'_> {
    fn whole(mut self) -> Result<Filter, String> {
        let filter = self.either()?;
        self.ends()?;
        Ok(filter)
    }

    pub(crate) fn ends(&self) -> Result<(), String> {
        match self.tokens.first() {
            None => Ok(()),
            Some(rest) => Err(format!("{} is left over", rest.shown())),
        }
    }

    fn either(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Either(parts) })
    }

    fn all(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.one()?];
        while self.takes_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn one(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it is deeper than {DEPTH_MAX}"));
        }
        let filter = if self.takes_word("not") {
            Filter::Not(Box::new(self.one()?))
        } else if self.takes(&Token::Open) {
            let inner = self.either()?;
            self.wants(&Token::Close)?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        let compare = match self.next()? {
            Token::Word(word) if word == "substringof" => Compare::Contains,
            Token::Word(word) if word == "startswith" => Compare::Begins,
            Token::Word(word) => {
                let field = field(&word)?;
                let compare = self.operator()?;
                return Ok(Filter::Is(compare, field, self.text()?));
            }
            Token::Text(text) => {
                let compare = self.operator()?;
                return Ok(Filter::Is(compare, self.field()?, text));
            }
            other => return Err(format!("a property was expected, not {}", other.shown())),
        };
        self.wants(&Token::Open)?;
        let (field, text) = if compare == Compare::Contains {
            let text = self.text()?;
            self.wants(&Token::Comma)?;
            (self.field()?, text)
        } else {
            let field = self.field()?;
            self.wants(&Token::Comma)?;
            (field, self.text()?)
        };
        self.wants(&Token::Close)?;
        let filter = Filter::Is(compare, field, text);
        // Some write the comparison that OData spares them.
        if !self.takes_word("eq") {
            return Ok(filter);
        }
        match self.next()? {
            Token::Word(word) if word == "true" => Ok(filter),
            Token::Word(word) if word == "false" => Ok(Filter::Not(Box::new(filter))),
            other => Err(format!("true or false was expected, not {}", other.shown())),
        }
    }

    pub(crate) fn operator(&mut self) -> Result<Compare, String> {
        match self.next()? {
            Token::Word(word) if word == "eq" => Ok(Compare::Equal),
            Token::Word(word) if word == "ne" => Ok(Compare::Unequal),
            other => Err(format!("eq or ne was expected, not {}", other.shown())),
        }
    }

    fn field(&mut self) -> Result<Field, String> {
        match self.next()? {
            Token::Word(word) => field(&word),
            other => Err(format!("a property was expected, not {}", other.shown())),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            other => Err(format!("a text in quotes was expected, not {}", other.shown())),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Token, String> {
        let (first, rest) = self.tokens.split_first().ok_or("it ends too soon")?;
        self.tokens = rest;
        Ok(first.clone())
    }

    pub(crate) fn takes(&mut self, wanted: &Token) -> bool {
        let is_it = self.tokens.first() == Some(wanted);
        if is_it {
            self.tokens = &self.tokens[1..];
        }
        is_it
    }

    pub(crate) fn takes_word(&mut self, wanted: &str) -> bool {
        self.takes(&Token::Word(wanted.to_owned()))
    }

    pub(crate) fn wants(&mut self, wanted: &Token) -> Result<(), String> {
        if self.takes(wanted) { Ok(()) } else { Err(format!("{} is missing", wanted.shown())) }
    }
}

impl Token {
    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Open => "'('".to_owned(),
            Self::Close => "')'".to_owned(),
            Self::Comma => "','".to_owned(),
            Self::Colon => "':'".to_owned(),
            Self::Word(word) => format!("'{word}'"),
            Self::Text(text) => format!("the text '{text}'"),
        }
    }
}

fn field(word: &str) -> Result<Field, String> {
    Ok(match word {
        "resourcetype" => Field::Type,
        "name" => Field::Name,
        "resourcegroup" => Field::Group,
        "location" => Field::Location,
        "subscriptionid" => Field::Subscription,
        "tagname" => Field::TagName,
        "tagvalue" => Field::TagValue,
        _ => {
            return Err(format!(
                "there is no property '{word}', only resourceType, name, resourceGroup, location, subscriptionId, tagName \
                 and tagValue"
            ));
        }
    })
}

pub(crate) const BYTES_MAX: usize = 8 * 1024;
pub(crate) const DEPTH_MAX: usize = 32;
/// Of a filter, in an error.
const SHOWN_CHARS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(filter: &str) -> bool {
        let text = |text: &str| text.to_owned();
        let resource = Filtered {
            kind: text("Microsoft.ContainerRegistry/registries"),
            name: text("Production1"),
            group: text("default"),
            location: text("local"),
            subscription: text("s"),
            tags: vec![(text("Team"), text("Blue's")), (text("env"), text("prod"))],
        };
        Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error:?}")).allows(&resource)
    }

    #[test]
    fn filters_let_through_what_they_say() {
        for (filter, wanted) in [
            ("resourceType eq 'microsoft.containerregistry/REGISTRIES'", true),
            ("RESOURCETYPE EQ 'Microsoft.Compute/virtualMachines'", false),
            ("resourceType ne 'Microsoft.Compute/virtualMachines'", true),
            ("'production1' eq name and resourceGroup eq 'DEFAULT'", true),
            ("name eq 'other' or (location eq 'local' and not name eq 'other')", true),
            ("name eq 'other' and location eq 'local' or name eq 'production1'", true),
            ("name eq 'other' and (location eq 'local' or name eq 'production1')", false),
            ("substringof('DUCT', name)", true),
            ("substringof('duct', name) eq false", false),
            ("startswith(name, 'prod') eq true", true),
            ("startswith(name, 'duct')", false),
            ("tagName eq 'team' and tagValue eq 'Blue''s'", true),
            ("tagName eq 'team' and tagValue eq 'blue''s'", false),
            ("tagName eq 'team' and tagValue eq 'prod'", false),
            ("startswith(tagName, 'te')", true),
            ("tagName ne 'team'", false),
            ("tagName ne 'owner'", true),
            ("tagName eq 'team' and tagValue ne 'prod'", true),
            ("not (tagName eq 'team' and tagValue eq 'prod')", true),
        ] {
            assert_eq!(allows(filter), wanted, "{filter}");
        }
    }

    #[test]
    fn what_does_not_parse_is_refused_with_a_reason() {
        let deep = format!("{}name eq 'a'{}", "(".repeat(100), ")".repeat(100));
        let long = format!("name eq '{}'", "a".repeat(10_000));
        for (filter, why) in [
            ("", "it ends too soon"),
            ("name", "it ends too soon"),
            ("name eq", "it ends too soon"),
            ("name eq 'a", "a text has no end"),
            ("name eq a", "a text in quotes was expected, not 'a'"),
            ("name gt 'a'", "eq or ne was expected, not 'gt'"),
            ("colour eq 'red'", "there is no property 'colour'"),
            ("name eq 'a' name eq 'b'", "'name' is left over"),
            ("(name eq 'a'", "')' is missing"),
            ("substringof(name, 'a')", "a text in quotes was expected"),
            ("name eq 'a' ; drop", "';' has no meaning there"),
            (&deep, "it is deeper than 32"),
            (&"not ".repeat(100), "it is deeper than 32"),
            (&long, "it has more than 8192 bytes"),
        ] {
            let error = format!("{:?}", Filter::parse(filter).expect_err(filter));
            assert!(error.contains("InvalidFilterInQueryString") && error.contains(why), "{filter}: {error}");
        }
    }
}
