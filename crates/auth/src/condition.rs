//! Conditions of role assignments, as far as Azure Container Registry documents them ("Azure attribute-based
//! access control (Azure ABAC) repository permissions", condition version 2.0): which actions, and which
//! repositories by their names. Whatever else the language has is refused, never ignored.

use std::fmt;
use std::str::FromStr;

use crate::Action;
use crate::roles::is_match;

/// A condition that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    text: String,
    tree: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    /// `ActionMatches{'…'}`, or `!` that.
    Action {
        pattern: String,
        is_wanted: bool,
    },
    Name {
        compare: Compare,
        text: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Compare {
    is_prefix: bool,
    ignores_case: bool,
}

/// Why a condition is none that we understand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// Too long.
    #[error("a condition has {TEXT_BYTES_MAX} bytes at most")]
    TooLong,
    /// Parentheses within parentheses.
    #[error("a condition has {DEPTH_MAX} levels of parentheses at most")]
    TooDeep,
    /// A mix that can be read in two ways.
    #[error("AND and OR beside each other need parentheses")]
    Ambiguous,
    /// Something else than what was expected.
    #[error("at byte {at} of the condition: {expected}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What could stand there.
        expected: &'static str,
    },
}

impl Condition {
    /// True if the action is allowed with a repository; `None`: with the registry as a whole.
    pub(crate) fn holds(&self, action: Action, repository: Option<&str>) -> bool {
        // Roles with conditions have data actions alone, so it is by such a name that it is allowed.
        action.data_name().is_some_and(|name| self.tree.holds(name, repository))
    }
}

impl Node {
    fn holds(&self, action: &str, repository: Option<&str>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(action, repository)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(action, repository)),
            Self::Action { pattern, is_wanted } => is_match(pattern, action) == *is_wanted,
            Self::Name { compare, text } => repository.is_some_and(|name| compare.holds(name, text)),
        }
    }
}

impl Compare {
    fn holds(self, name: &str, text: &str) -> bool {
        let start = if self.is_prefix { name.get(..text.len()) } else { Some(name) };
        start.is_some_and(
            |start| if self.ignores_case { start.eq_ignore_ascii_case(text) } else { start == text },
        )
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    /// ```
    /// let name = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]";
    /// assert!(format!("{name} StringEquals 'app'").parse::<auth::Condition>().is_ok());
    /// assert!(format!("{name} StringLike 'app'").parse::<auth::Condition>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, InvalidCondition> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(InvalidCondition::TooLong);
        }
        let mut reader = Reader { text, at: 0 };
        let tree = reader.expression(0)?;
        reader.skip_blanks();
        if reader.at < text.len() {
            return Err(reader.unexpected("only AND, OR or the end can follow"));
        }
        Ok(Self { text: text.to_owned(), tree })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn expression(&mut self, depth: usize) -> Result<Node, InvalidCondition> {
        if depth > DEPTH_MAX {
            return Err(InvalidCondition::TooDeep);
        }
        let first = self.term(depth)?;
        let (mut all, mut any) = (Vec::new(), Vec::new());
        loop {
            let nodes = if self.takes("AND") || self.takes("&&") {
                &mut all
            } else if self.takes("OR") || self.takes("||") {
                &mut any
            } else {
                break;
            };
            nodes.push(self.term(depth)?);
        }
        match (all.is_empty(), any.is_empty()) {
            (true, true) => Ok(first),
            (false, true) => Ok(Node::All([vec![first], all].concat())),
            (true, false) => Ok(Node::Any([vec![first], any].concat())),
            (false, false) => Err(InvalidCondition::Ambiguous),
        }
    }

    fn term(&mut self, depth: usize) -> Result<Node, InvalidCondition> {
        if self.takes("!") || self.takes("NOT") {
            let is_in = self.takes("(");
            let node = self.action(false)?;
            if is_in && !self.takes(")") {
                return Err(self.unexpected("a closing parenthesis is missing"));
            }
            return Ok(node);
        }
        if self.takes("(") {
            let node = self.expression(depth + 1)?;
            return if self.takes(")") {
                Ok(node)
            } else {
                Err(self.unexpected("a closing parenthesis is missing"))
            };
        }
        if !self.takes(NAME) {
            return self.action(true);
        }
        let compare = COMPARISONS.into_iter().find(|(word, ..)| self.takes(word));
        let Some((_, is_prefix, ignores_case)) = compare else {
            return Err(self.unexpected(
                "repositories' names are compared by StringEquals, StringEqualsIgnoreCase, StringStartsWith or \
                 StringStartsWithIgnoreCase",
            ));
        };
        let text = self.quoted()?;
        Ok(Node::Name { compare: Compare { is_prefix, ignores_case }, text })
    }

    fn action(&mut self, is_wanted: bool) -> Result<Node, InvalidCondition> {
        if !self.takes("ActionMatches") || !self.takes("{") {
            return Err(self.unexpected(
                "only ActionMatches{'ACTION'} and @Request[Microsoft.ContainerRegistry/registries/repositories:name] are \
                 understood here",
            ));
        }
        let pattern = self.quoted()?;
        if self.takes("}") {
            Ok(Node::Action { pattern, is_wanted })
        } else {
            Err(self.unexpected("a } is missing"))
        }
    }

    /// A text between single quotes, which has none itself.
    fn quoted(&mut self) -> Result<String, InvalidCondition> {
        self.skip_blanks();
        let rest = self.text[self.at..].strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let Some((text, _)) = rest.filter(|(text, _)| !text.is_empty()) else {
            return Err(self.unexpected("a text in single quotes is missing"));
        };
        self.at += text.len() + 2;
        Ok(text.to_owned())
    }

    /// Skips a word, in any case, that no letter goes on.
    fn takes(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let is_it = rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let is_word = word.ends_with(|last: char| last.is_ascii_alphanumeric());
        let goes_on =
            is_it && is_word && rest[word.len()..].starts_with(|next: char| next.is_ascii_alphanumeric());
        if is_it && !goes_on {
            self.at += word.len();
        }
        is_it && !goes_on
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn unexpected(&self, expected: &'static str) -> InvalidCondition {
        InvalidCondition::Unexpected { at: self.at, expected }
    }
}

/// Azure's attribute of a request.
const NAME: &str = "@Request[Microsoft.ContainerRegistry/registries/repositories:name]";

/// The word, whether it compares the start alone, and whether case does not matter.
const COMPARISONS: [(&str, bool, bool); 4] = [
    ("StringEquals", false, false),
    ("StringEqualsIgnoreCase", false, true),
    ("StringStartsWith", true, false),
    ("StringStartsWithIgnoreCase", true, true),
];

/// Azure's limit.
const TEXT_BYTES_MAX: usize = 8 << 10;
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "'Microsoft.ContainerRegistry/registries/repositories/content/read'";
    const METADATA: &str = "'Microsoft.ContainerRegistry/registries/repositories/metadata/read'";

    #[test]
    fn the_documented_forms_are_understood() {
        for (rule, repository, wanted) in [
            ("StringEquals 'nginx'", "nginx", true),
            ("StringEquals 'nginx'", "nginx2", false),
            ("StringEquals 'Nginx'", "nginx", false),
            ("StringEqualsIgnoreCase 'Nginx'", "nginx", true),
            ("StringStartsWith 'team/'", "team/app", true),
            ("StringStartsWith 'team/'", "team", false),
            ("StringStartsWith 'team/'", "teams/app", false),
            ("StringStartsWithIgnoreCase 'Team/'", "team/app", true),
            (
                "StringEquals 'a' OR @Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'b'",
                "b",
                true,
            ),
        ] {
            let text = format!(
                "(\n (\n  !(ActionMatches{{{CONTENT}}})\n  AND\n  !(ActionMatches{{{METADATA}}})\n )\n OR \n (\n  {NAME} {rule}\n )\n)"
            );
            let condition: Condition = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(condition.to_string(), text);
            for action in [Action::Pull, Action::ReadArtifactMetadata] {
                assert_eq!(condition.holds(action, Some(repository)), wanted, "{rule} {repository}");
                assert!(!condition.holds(action, None));
            }
            assert!(condition.holds(Action::Push, Some(repository)), "an action that it does not name");
            assert!(!condition.holds(Action::ReadRegistry, None), "none of a repository");
        }
        // Each action with a rule of its own.
        let each = |action: &str, name: &str| {
            format!("(!(ActionMatches{{{action}}}) OR {NAME} StringEquals '{name}')")
        };
        let text = format!("{} AND {}", each(CONTENT, "a"), each(METADATA, "b"));
        let condition: Condition = text.parse().expect("understood");
        assert!(condition.holds(Action::Pull, Some("a")) && !condition.holds(Action::Pull, Some("b")));
        assert!(condition.holds(Action::ReadArtifactMetadata, Some("b")));
    }

    #[test]
    fn everything_else_is_refused() {
        let deep = format!("{}{NAME} StringEquals 'a'{}", "(".repeat(20), ")".repeat(20));
        let long = format!("{NAME} StringEquals '{}'", "a".repeat(TEXT_BYTES_MAX));
        for text in [
            "",
            "true",
            "(",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name]",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals nginx",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'nginx",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals ''",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringNotEquals 'nginx'",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsX 'nginx'",
            "@Resource[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'nginx'",
            "@Request[Microsoft.Storage/storageAccounts:name] StringEquals 'nginx'",
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'a' extra",
            "!(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals 'a')",
            "ActionMatches{'a'} AND ActionMatches{'b'} OR ActionMatches{'c'}",
            "ActionMatches{'a' AND SubOperationMatches{'b'}",
            "é",
            &deep,
            &long,
        ] {
            assert!(text.parse::<Condition>().is_err(), "{text:.80}");
        }
    }
}
