//! Tokens to the syntax tree: recursive descent, one token ahead.

mod expr;
mod step;

pub(crate) use step::STEPS;

use std::collections::HashMap;

use crate::error::QueryError;
use crate::lex::{Kind, Token, error_at, tokens};
use crate::syntax::{
    Argument, Expr, Lambda, Let, LetValue, Named, Parameter, Pipeline, Query, Source, Step, Union,
};
use crate::value::{Type, Value};

/// Reads a query.
///
/// # Errors
/// [`QueryError`] with the position where the text breaks the grammar, or where it is larger or deeper than
/// is allowed.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        let message =
            format!("A query may have {QUERY_BYTES_MAX} bytes; this one has {}. Shorten it.", text.len());
        return Err(QueryError::invalid(message));
    }
    let tokens = tokens(text)?;
    let mut parser =
        Parser { text, tokens, at: 0, depth: 0, tried: 0, too_deep: None, failed: HashMap::new() };
    let query = parser.query().and_then(|query| parser.expect_end().map(|()| query));
    // Another reading that needs fewer levels would not be what is meant.
    parser.too_deep.map_or(query, Err)
}

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Rules tried so far.
    tried: usize,
    /// Once a reading needed more levels than there are, nothing is read any more.
    too_deep: Option<QueryError>,
    /// Rules that failed, by where they began, how far they came and why: some places are read in two ways,
    /// and within one another that would double and double.
    failed: HashMap<(Rule, usize), (usize, QueryError)>,
}

/// A rule that is tried where another would do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    Expr,
    Pipeline,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, QueryError> {
        let mut lets = Vec::new();
        loop {
            while self.takes_mark(";") {}
            if self.begins_let() {
                lets.push(self.statement()?);
            } else if self.is_word("set") && matches!(self.ahead(1), Kind::Word(_)) {
                // Options of the request: none changes what is asked.
                while !self.is_mark(";") && !self.is_end() {
                    self.at += 1;
                }
            } else {
                break;
            }
        }
        let body = self.pipeline()?;
        while self.takes_mark(";") {}
        Ok(Query { lets, body })
    }

    fn begins_let(&self) -> bool {
        self.is_word("let") && matches!(self.ahead(1), Kind::Word(_) | Kind::Mark("["))
    }

    fn statement(&mut self) -> Result<Let, QueryError> {
        self.at += 1;
        let name = self.name("a name")?;
        self.expect_mark("=")?;
        let value = self.let_value()?;
        if !self.is_end() {
            self.expect_mark(";")?;
        }
        Ok(Let { name, value })
    }

    fn let_value(&mut self) -> Result<LetValue, QueryError> {
        self.deeper(|it| {
            it.takes_word("view");
            if it.is_lambda() {
                return it.lambda().map(LetValue::Lambda);
            }
            // A scalar or rows: whichever reading reaches the end of the statement.
            let from = it.at;
            let as_scalar = it.expr();
            if let Ok(expr) = as_scalar
                && it.ends_statement()
            {
                return Ok(LetValue::Scalar(expr));
            }
            let as_scalar = it.unexpected("an operator or ';'");
            let reached = it.at;
            it.at = from;
            match it.rows_of_a_source() {
                Ok(pipeline) if it.ends_statement() => Ok(LetValue::Table(pipeline)),
                // Of two failures the one that got further knows better.
                _ if it.at < reached => Err(as_scalar),
                Ok(_) => Err(it.unexpected("'|' or ';'")),
                Err(error) => Err(error),
            }
        })
    }

    fn ends_statement(&self) -> bool {
        self.is_end() || self.is_mark(";") || self.is_mark("}")
    }

    /// `(` names with types `)` `{`
    fn is_lambda(&self) -> bool {
        if !self.is_mark("(") {
            return false;
        }
        let mut depth = 0_usize;
        for (position, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                Kind::Mark("(") => depth += 1,
                Kind::Mark(")") => {
                    depth -= 1;
                    if depth == 0 {
                        return matches!(
                            self.tokens.get(position + 1).map(|it| &it.kind),
                            Some(Kind::Mark("{"))
                        );
                    }
                }
                _ => {}
            }
        }
        false
    }

    fn lambda(&mut self) -> Result<Lambda, QueryError> {
        self.expect_mark("(")?;
        let parameters = self.list(")", Self::parameter)?;
        self.expect_mark("{")?;
        let mut lets = Vec::new();
        while self.begins_let() {
            lets.push(self.statement()?);
        }
        let body = self.let_value()?;
        while self.takes_mark(";") {}
        self.expect_mark("}")?;
        Ok(Lambda { parameters, lets, body: Box::new(body) })
    }

    fn parameter(&mut self) -> Result<Parameter, QueryError> {
        let name = self.name("a parameter")?;
        self.expect_mark(":")?;
        let kind = if self.takes_mark("(") {
            // The columns that rows must have are found out when they are used.
            while !self.takes_mark(")") {
                if self.is_end() {
                    return Err(self.unexpected("')'"));
                }
                self.at += 1;
            }
            None
        } else {
            Some(self.type_name()?)
        };
        let default = if self.takes_mark("=") { Some(self.expr()?) } else { None };
        Ok(Parameter { name, kind, default })
    }

    fn pipeline(&mut self) -> Result<Pipeline, QueryError> {
        self.once(Rule::Pipeline, |it| {
            // `union` is a source.
            let begins_with_step = it.step_word().is_some_and(|(word, _)| word != "union");
            let mut steps = Vec::new();
            let source = if begins_with_step {
                it.step_into(&mut steps)?;
                Source::Default
            } else {
                it.source()?
            };
            it.steps_into(&mut steps)?;
            Ok(Pipeline { source, steps })
        })
    }

    /// Rows where a scalar could stand, too: `take (5)` is a call there.
    fn rows_of_a_source(&mut self) -> Result<Pipeline, QueryError> {
        match self.step_word() {
            Some((word, _)) if word != "union" => Err(self.unexpected("a table")),
            _ => self.pipeline(),
        }
    }

    /// `| step | step`
    fn steps_into(&mut self, steps: &mut Vec<Step>) -> Result<(), QueryError> {
        while self.takes_mark("|") {
            self.step_into(steps)?;
            if steps.len() > STEPS_MAX {
                return Err(QueryError::invalid(format!("A query may have {STEPS_MAX} operators in a row.")));
            }
        }
        Ok(())
    }

    fn source(&mut self) -> Result<Source, QueryError> {
        if self.takes_mark("(") {
            let inner = self.pipeline()?;
            self.expect_mark(")")?;
            return Ok(Source::Nested(Box::new(inner)));
        }
        if let Kind::Saved(id) = self.kind().clone() {
            self.at += 1;
            return Ok(Source::Saved(id));
        }
        let Kind::Word(word) = self.kind().clone() else {
            if let Some(name) = self.takes_bracketed_name()? {
                return Ok(Source::Named(name));
            }
            return Err(self.unexpected("a table or an operator"));
        };
        let calls = matches!(self.ahead(1), Kind::Mark("("));
        // These make scalars, in any case of theirs and whatever stands in them.
        let makes_scalars = ["dynamic", "typeof", "toscalar"].iter().any(|it| word.eq_ignore_ascii_case(it));
        // And these name nothing, unless they stand in brackets.
        if calls && makes_scalars || expr::RESERVED.contains(&word.as_str()) {
            return Err(self.unexpected("a table or an operator"));
        }
        match word.as_str() {
            "union" => {
                self.at += 1;
                Ok(Source::Union(self.union()?))
            }
            "print" => {
                self.at += 1;
                Ok(Source::Print(self.named_list()?))
            }
            "range" if !calls => {
                self.at += 1;
                let name = self.name("a column")?;
                self.expect_word("from")?;
                let from = self.expr()?;
                self.expect_word("to")?;
                let to = self.expr()?;
                self.expect_word("step")?;
                Ok(Source::Range { name, from, to, step: self.expr()? })
            }
            "datatable" => {
                self.at += 1;
                self.rows()
            }
            "materialize" | "view" if calls => {
                self.at += 2;
                let inner = self.pipeline()?;
                self.expect_mark(")")?;
                Ok(Source::Nested(Box::new(inner)))
            }
            _ if calls => {
                self.at += 2;
                let arguments = self.list(")", Self::argument)?;
                Ok(Source::Call(word, arguments))
            }
            _ => {
                self.at += 1;
                Ok(Source::Named(word))
            }
        }
    }

    fn argument(&mut self) -> Result<Argument, QueryError> {
        let from = self.at;
        if self.step_word().is_some_and(|(word, _)| word == "union") {
            if let Ok(rows) = self.rows_of_a_source() {
                return Ok(Argument::Table(rows));
            }
            self.at = from;
        }
        if let Ok(expr) = self.named_argument()
            && (self.is_mark(",") || self.is_mark(")"))
        {
            return Ok(Argument::Scalar(expr));
        }
        self.at = from;
        self.rows_of_a_source().map(Argument::Table)
    }

    fn rows(&mut self) -> Result<Source, QueryError> {
        self.expect_mark("(")?;
        let columns = self.list(")", |it| {
            let name = it.name("a column")?;
            it.expect_mark(":")?;
            Ok((name, it.type_name()?))
        })?;
        self.expect_mark("[")?;
        // Here alone a comma may stand behind the last.
        let mut cells = Vec::new();
        while !self.takes_mark("]") {
            cells.push(self.expr()?);
            if !self.is_mark("]") {
                self.expect_mark(",")?;
            }
        }
        if columns.is_empty() || !cells.len().is_multiple_of(columns.len()) {
            let message = format!("datatable: {} values do not fill rows of {}.", cells.len(), columns.len());
            return Err(QueryError::invalid(message));
        }
        Ok(Source::Rows { columns, cells })
    }

    fn union(&mut self) -> Result<Union, QueryError> {
        let (mut is_inner, mut source_column) = (false, None);
        while let Some((name, value)) = self.option()? {
            match (name.as_str(), value) {
                ("kind", OptionValue::Word(kind)) if kind == "inner" || kind == "outer" => {
                    is_inner = kind == "inner"
                }
                ("withsource" | "with_source", OptionValue::Word(name)) => source_column = Some(name),
                ("isfuzzy", _) => {}
                (name, _) if name.starts_with("hint.") => {}
                (name, _) => {
                    return Err(QueryError::invalid(format!("union: the option '{name}' is not known.")));
                }
            }
        }
        let mut legs = vec![self.leg()?];
        while self.takes_mark(",") {
            legs.push(self.leg()?);
            if legs.len() > LEGS_MAX {
                return Err(QueryError::invalid(format!("A union may have {LEGS_MAX} legs.")));
            }
        }
        Ok(Union { is_inner, source_column, legs })
    }

    /// What stands up to the closing mark, between commas.
    fn list<T>(
        &mut self,
        close: &str,
        mut read: impl FnMut(&mut Self) -> Result<T, QueryError>,
    ) -> Result<Vec<T>, QueryError> {
        let mut list = Vec::new();
        if self.takes_mark(close) {
            return Ok(list);
        }
        loop {
            list.push(read(self)?);
            if self.takes_mark(close) {
                return Ok(list);
            }
            self.expect_mark(",")?;
        }
    }

    /// A table, or rows in brackets.
    fn leg(&mut self) -> Result<Pipeline, QueryError> {
        let source = self.deeper(Self::source)?;
        Ok(match source {
            Source::Nested(inner) => *inner,
            source => Pipeline { source, steps: Vec::new() },
        })
    }

    /// `name = value` in front of an operator's arguments.
    fn option(&mut self) -> Result<Option<(String, OptionValue)>, QueryError> {
        let Kind::Word(word) = self.kind().clone() else { return Ok(None) };
        let is_hint = word == "hint" && matches!(self.ahead(1), Kind::Mark("."));
        if !(is_hint || OPTIONS.contains(&word.as_str()) && matches!(self.ahead(1), Kind::Mark("="))) {
            return Ok(None);
        }
        self.at += 1;
        let mut name = word;
        if is_hint {
            self.at += 1;
            name = format!("hint.{}", self.name("a hint")?);
        }
        self.expect_mark("=")?;
        let value = match self.kind().clone() {
            Kind::Word(word) => OptionValue::Word(word),
            Kind::Literal(..) => OptionValue::Other,
            _ => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        Ok(Some((name, value)))
    }

    /// `a, b = c, (d, e) = f`
    fn named_list(&mut self) -> Result<Vec<Named>, QueryError> {
        let mut list = vec![self.named()?];
        while self.takes_mark(",") {
            list.push(self.named()?);
        }
        Ok(list)
    }

    fn named(&mut self) -> Result<Named, QueryError> {
        let from = self.at;
        if let Some(name) = self.takes_name()?
            && self.takes_mark("=")
        {
            return Ok(Named { names: vec![name], expr: self.expr()? });
        }
        self.at = from;
        if self.takes_mark("(") {
            let mut names = Vec::new();
            while let Some(name) = self.takes_name()? {
                names.push(name);
                if !self.takes_mark(",") {
                    break;
                }
            }
            if !names.is_empty() && self.takes_mark(")") && self.takes_mark("=") {
                return Ok(Named { names, expr: self.expr()? });
            }
            self.at = from;
        }
        Ok(Named { names: Vec::new(), expr: self.expr()? })
    }

    fn type_name(&mut self) -> Result<Type, QueryError> {
        let kind = if let Kind::Word(word) = self.kind() { Type::of(word) } else { None };
        let Some(kind) = kind else { return Err(self.unexpected("a type")) };
        self.at += 1;
        Ok(kind)
    }

    fn name(&mut self, expected: &str) -> Result<String, QueryError> {
        match self.takes_name()? {
            Some(name) => Ok(name),
            None => Err(self.unexpected(expected)),
        }
    }

    /// A word, or `['any text']`.
    fn takes_name(&mut self) -> Result<Option<String>, QueryError> {
        if let Kind::Word(word) = self.kind().clone() {
            self.at += 1;
            return Ok(Some(word));
        }
        self.takes_bracketed_name()
    }

    fn takes_bracketed_name(&mut self) -> Result<Option<String>, QueryError> {
        if !self.is_mark("[") {
            return Ok(None);
        }
        let Kind::Literal(Type::String, Value::String(name)) = self.ahead(1).clone() else { return Ok(None) };
        if !matches!(self.ahead(2), Kind::Mark("]")) {
            return Ok(None);
        }
        self.at += 3;
        Ok(Some(name.to_string()))
    }

    /// As [`Parser::deeper`]; what failed here once is not tried again.
    fn once<T>(
        &mut self,
        rule: Rule,
        read: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let key = (rule, self.at);
        if let Some((reached, error)) = self.failed.get(&key) {
            self.at = *reached;
            return Err(error.clone());
        }
        let outcome = self.deeper(read);
        if let Err(error) = &outcome {
            self.failed.insert(key, (self.at, error.clone()));
        }
        outcome
    }

    /// Goes one level down, if there is one left.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        self.tried += 1;
        if self.too_deep.is_none() && (self.depth >= DEPTH_MAX || self.tried > TRIES_MAX) {
            let message = format!("The query is nested deeper than {DEPTH_MAX} levels. Simplify it.");
            self.too_deep = Some(QueryError::invalid(message));
        }
        if let Some(error) = &self.too_deep {
            return Err(error.clone());
        }
        self.depth += 1;
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }

    fn kind(&self) -> &Kind {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> &Kind {
        self.tokens.get(self.at + count).map_or(&Kind::End, |token| &token.kind)
    }

    fn is_end(&self) -> bool {
        *self.kind() == Kind::End
    }

    fn is_mark(&self, mark: &str) -> bool {
        matches!(self.kind(), Kind::Mark(found) if *found == mark)
    }

    fn takes_mark(&mut self, mark: &str) -> bool {
        let found = self.is_mark(mark);
        self.at += usize::from(found);
        found
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Word(found) if found == word)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect_mark(&mut self, mark: &str) -> Result<(), QueryError> {
        if self.takes_mark(mark) { Ok(()) } else { Err(self.unexpected(&format!("'{mark}'"))) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), QueryError> {
        if self.takes_word(word) { Ok(()) } else { Err(self.unexpected(&format!("'{word}'"))) }
    }

    fn expect_end(&self) -> Result<(), QueryError> {
        if self.is_end() { Ok(()) } else { Err(self.unexpected("'|' or the end of the query")) }
    }

    fn unexpected(&self, expected: &str) -> QueryError {
        let end = (self.text.len(), self.text.len());
        let (from, to) = self.tokens.get(self.at).map_or(end, |token| (token.from, token.to));
        error_at(self.text, from, to, expected)
    }

    /// True if nothing stands between this token and the one before.
    fn is_attached(&self, ahead: usize) -> bool {
        let at = self.at + ahead;
        match (self.tokens.get(at.wrapping_sub(1)), self.tokens.get(at)) {
            (Some(before), Some(this)) => before.to == this.from,
            _ => false,
        }
    }
}

pub(super) enum OptionValue {
    Word(String),
    Other,
}

/// True of an expression that is a lone name.
pub(super) fn as_name(expr: &Expr) -> Option<&str> {
    if let Expr::Name(name) = expr { Some(name) } else { None }
}

const OPTIONS: [&str; 9] = [
    "kind",
    "withsource",
    "with_source",
    "isfuzzy",
    "bagexpansion",
    "with_itemindex",
    "flags",
    "decodeblocks",
    "expandoutput",
];

/// A long query of a dashboard has some kilobytes.
pub(crate) const QUERY_BYTES_MAX: usize = 256 * 1024;
const DEPTH_MAX: usize = 100;
const TRIES_MAX: usize = 1_000_000;
const STEPS_MAX: usize = 500;
const LEGS_MAX: usize = 64;
