//! Why a query has no answer.

/// Where in the text, as Azure counts: lines from 1, characters within a line from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 0.
    pub character: usize,
    /// What stands there; `<EOF>` at the end.
    pub token: String,
    /// What could stand there.
    pub expected: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The word that tools look at.
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// Where, if it is at one place.
    pub position: Option<Position>,
}

/// The kinds of what may be wrong, named as Resource Graph names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The query cannot be understood; further details say why.
    InvalidQuery,
    /// The text breaks the grammar.
    ParserFailure,
    /// An operator that Kusto has, and this language has not.
    InvalidQueryLanguage,
    /// There is no such function.
    UnknownFunction,
    /// There is no such kind of `join`.
    UnsupportedJoinFlavor,
    /// There is no such table.
    DisallowedLogicalTableName,
    /// There is no such column.
    NoValidColumns,
    /// The query wants more memory than one may have.
    ResponsePayloadTooLarge,
    /// Whoever asked is gone, or the time is up.
    Cancelled,
}

impl Code {
    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidQuery => "InvalidQuery",
            Self::ParserFailure => "ParserFailure",
            Self::InvalidQueryLanguage => "InvalidQueryLanguage",
            Self::UnknownFunction => "UnknownFunction",
            Self::UnsupportedJoinFlavor => "UnsupportedJoinFlavor",
            Self::DisallowedLogicalTableName => "DisallowedLogicalTableName",
            Self::NoValidColumns => "NoValidColumns",
            Self::ResponsePayloadTooLarge => "ResponsePayloadTooLarge",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .details.iter().map(|detail| detail.message.as_str()).collect::<Vec<_>>().join(" "))]
pub struct QueryError {
    /// From the general to the special.
    pub details: Vec<Detail>,
}

impl QueryError {
    /// A query that cannot be understood, for one reason.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::of(Code::InvalidQuery, message)
    }

    /// Only this.
    pub(crate) fn of(code: Code, message: impl Into<String>) -> Self {
        Self { details: vec![Detail { code, message: message.into(), position: None }] }
    }

    /// A query that cannot be understood, for a reason that has a word of its own.
    pub(crate) fn because(code: Code, message: impl Into<String>) -> Self {
        let mut error = Self::invalid(INVALID);
        error.details.push(Detail { code, message: message.into(), position: None });
        error
    }

    /// The text breaks the grammar there.
    pub(crate) fn grammar(position: Position) -> Self {
        let mut error = Self::invalid(INVALID);
        let Position { line, character, token, expected } = &position;
        let message = format!("'{token}' at line {line}, character {character}: expected {expected}.");
        error.details.push(Detail { code: Code::ParserFailure, message, position: Some(position) });
        error
    }
}

const INVALID: &str = "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix \
                       the error before retrying.";
