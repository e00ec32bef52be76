//! The tabular operators.

use super::{OptionValue, Parser, as_name};
use crate::error::{Code, Position, QueryError};
use crate::lex::Kind;
use crate::syntax::{
    Expand, Expr, Join, JoinKind, Named, Operator, Parse, ParseKind, ParsePart, Pipeline, SortKey, Source,
    Step,
};
use crate::value::{Type, Value};

impl Parser<'_> {
    /// The operator that begins here, with the number of its tokens: `mv-expand` has three.
    pub(super) fn step_word(&self) -> Option<(String, usize)> {
        let Kind::Word(word) = self.kind() else { return None };
        let word = word.to_ascii_lowercase();
        if matches!(self.ahead(1), Kind::Mark("-"))
            && self.is_attached(1)
            && self.is_attached(2)
            && let Kind::Word(tail) = self.ahead(2)
        {
            let whole = format!("{word}-{}", tail.to_ascii_lowercase());
            if STEPS.contains(&whole.as_str()) {
                return Some((whole, 3));
            }
        }
        STEPS.contains(&word.as_str()).then_some((word, 1))
    }

    /// Reads one operator; some stand for several steps.
    pub(super) fn step_into(&mut self, steps: &mut Vec<Step>) -> Result<(), QueryError> {
        let Some((word, tokens)) = self.step_word() else {
            return Err(self.unexpected("an operator (where, project, extend, summarize, …)"));
        };
        let from = self.at;
        self.at += tokens;
        let step = match word.as_str() {
            "where" | "filter" => Step::Where(self.expr()?),
            "extend" => Step::Extend(self.named_list()?),
            "project" => Step::Project(if self.ends_step() { Vec::new() } else { self.named_list()? }),
            "project-away" => Step::ProjectAway(self.patterns()?),
            "project-keep" => Step::ProjectKeep(self.patterns()?),
            "project-rename" => Step::ProjectRename(self.renames()?),
            "project-reorder" => Step::ProjectReorder(self.reorders()?),
            "summarize" => self.summarize()?,
            "distinct" => {
                let is_all = self.is_mark("*");
                self.at += usize::from(is_all);
                Step::Distinct(if is_all { None } else { Some(self.named_list()?) })
            }
            "count" => {
                let name = if self.takes_word("as") { Some(self.name("a column")?) } else { None };
                Step::Count(name)
            }
            "top" => {
                self.hints()?;
                let count = self.expr()?;
                self.expect_word("by")?;
                Step::Top(count, self.sort_keys()?)
            }
            "sort" | "order" => {
                self.hints()?;
                self.expect_word("by")?;
                Step::Sort(self.sort_keys()?)
            }
            "take" | "limit" | "sample" => Step::Take(self.expr()?),
            "join" => self.join(false)?,
            "lookup" => self.join(true)?,
            "union" => Step::Union(self.union()?),
            "mv-expand" | "mvexpand" => Step::MvExpand(self.expand()?),
            "mv-apply" | "mvapply" => {
                let expand = self.expand()?;
                self.expect_word("on")?;
                self.expect_mark("(")?;
                let mut inner = Vec::new();
                self.takes_mark("|");
                self.deeper(|it| it.step_into(&mut inner))?;
                self.steps_into(&mut inner)?;
                self.expect_mark(")")?;
                Step::MvApply(expand, inner)
            }
            "parse" => Step::Parse(self.parse_step(false)?),
            "parse-where" => Step::Parse(self.parse_step(true)?),
            "search" => Step::Search(self.expr()?),
            "getschema" => Step::GetSchema,
            "serialize" => Step::Serialize(if self.ends_step() { Vec::new() } else { self.named_list()? }),
            "as" => {
                self.hints()?;
                self.name("a name")?;
                return Ok(());
            }
            // How a chart is drawn is the reader's business.
            "render" => {
                while !self.ends_step() {
                    self.at += 1;
                }
                return Ok(());
            }
            _ => {
                self.at = from;
                return Err(self.unsupported(&word));
            }
        };
        steps.push(step);
        Ok(())
    }

    /// An operator that others have, at its place in the text.
    fn unsupported(&self, word: &str) -> QueryError {
        let mut error = QueryError::because(
            Code::InvalidQueryLanguage,
            format!("The operator '{word}' is not supported or not allowed."),
        );
        let position = self.unexpected("a supported operator").details.pop().and_then(|it| it.position);
        if let Some(detail) = error.details.last_mut() {
            detail.position = position.map(|position| Position { token: word.to_owned(), ..position });
        }
        error
    }

    fn ends_step(&self) -> bool {
        self.is_end() || ["|", ")", ";", "}"].iter().any(|mark| self.is_mark(mark))
    }

    /// `hint.strategy=shuffle` and its like change no answer.
    fn hints(&mut self) -> Result<(), QueryError> {
        while self.option()?.is_some() {}
        Ok(())
    }

    fn patterns(&mut self) -> Result<Vec<String>, QueryError> {
        let mut patterns = vec![self.pattern()?];
        while self.takes_mark(",") {
            patterns.push(self.pattern()?);
        }
        Ok(patterns)
    }

    /// A name, with `*` where any text may stand.
    fn pattern(&mut self) -> Result<String, QueryError> {
        if let Some(name) = self.takes_bracketed_name()? {
            return Ok(name);
        }
        let mut pattern = String::new();
        loop {
            match self.kind().clone() {
                Kind::Word(word) if pattern.is_empty() || (pattern.ends_with('*') && self.is_attached(0)) => {
                    pattern.push_str(&word);
                }
                Kind::Mark("*") if pattern.is_empty() || (!pattern.ends_with('*') && self.is_attached(0)) => {
                    pattern.push('*');
                }
                _ => break,
            }
            self.at += 1;
        }
        if pattern.is_empty() { Err(self.unexpected("a column")) } else { Ok(pattern) }
    }

    fn renames(&mut self) -> Result<Vec<(String, String)>, QueryError> {
        let mut renames = Vec::new();
        loop {
            let new = self.name("a column")?;
            self.expect_mark("=")?;
            renames.push((new, self.name("a column")?));
            if !self.takes_mark(",") {
                return Ok(renames);
            }
        }
    }

    fn reorders(&mut self) -> Result<Vec<(String, Option<bool>)>, QueryError> {
        let mut reorders = Vec::new();
        loop {
            let pattern = self.pattern()?;
            let order = if self.takes_word("asc") || self.takes_word("granny-asc") {
                Some(true)
            } else {
                self.takes_word("desc").then_some(false)
            };
            reorders.push((pattern, order));
            if !self.takes_mark(",") {
                return Ok(reorders);
            }
        }
    }

    fn summarize(&mut self) -> Result<Step, QueryError> {
        self.hints()?;
        let aggregates = if self.is_word("by") || self.ends_step() { Vec::new() } else { self.named_list()? };
        let by = if self.takes_word("by") { self.named_list()? } else { Vec::new() };
        if aggregates.is_empty() && by.is_empty() {
            return Err(self.unexpected("an aggregate or 'by'"));
        }
        Ok(Step::Summarize { aggregates, by })
    }

    fn sort_keys(&mut self) -> Result<Vec<SortKey>, QueryError> {
        let mut keys = Vec::new();
        loop {
            let expr = self.expr()?;
            let is_ascending = self.takes_word("asc") || {
                self.takes_word("desc");
                false
            };
            let mut nulls_first = is_ascending;
            if self.takes_word("nulls") {
                nulls_first = self.takes_word("first") || {
                    self.expect_word("last")?;
                    false
                };
            }
            keys.push(SortKey { expr, is_ascending, nulls_first });
            if !self.takes_mark(",") {
                return Ok(keys);
            }
        }
    }

    fn join(&mut self, is_lookup: bool) -> Result<Step, QueryError> {
        let mut kind = if is_lookup { JoinKind::LeftOuter } else { JoinKind::InnerUnique };
        while let Some((name, value)) = self.option()? {
            let OptionValue::Word(value) = value else { continue };
            if name == "kind" {
                let known = JoinKind::ALL.iter().find(|(known, _)| *known == value);
                kind = known.map(|(_, kind)| *kind).ok_or_else(|| {
                    let message = format!("The join kind \"{value}\" is not supported or not allowed.");
                    QueryError::because(Code::UnsupportedJoinFlavor, message)
                })?;
            }
        }
        let right = Box::new(self.leg()?);
        self.expect_word("on")?;
        let mut on = Vec::new();
        loop {
            self.condition(&mut on)?;
            if !self.takes_mark(",") {
                break;
            }
        }
        Ok(Step::Join(Join { kind, is_lookup, right, on }))
    }

    fn condition(&mut self, on: &mut Vec<(Expr, Expr)>) -> Result<(), QueryError> {
        let expr = self.expr()?;
        let terms = if let Expr::And(terms) = expr { terms } else { vec![expr] };
        for term in terms {
            on.push(match term {
                Expr::Binary(Operator::Equal, one, other) => match (side(&one), side(&other)) {
                    (Some((true, left)), Some((false, right)))
                    | (Some((false, right)), Some((true, left))) => (left, right),
                    _ => return Err(QueryError::invalid(ON)),
                },
                term if as_name(&term).is_some() => (term.clone(), term),
                _ => return Err(QueryError::invalid(ON)),
            });
        }
        Ok(())
    }

    fn expand(&mut self) -> Result<Expand, QueryError> {
        let (mut as_pairs, mut index) = (false, None);
        while let Some((name, value)) = self.option()? {
            match (name.as_str(), value) {
                ("kind" | "bagexpansion", OptionValue::Word(kind)) => as_pairs = kind == "array",
                ("with_itemindex", OptionValue::Word(name)) => index = Some(name),
                (name, _) => {
                    return Err(QueryError::invalid(format!("mv-expand: '{name}' is not understood.")));
                }
            }
        }
        let mut items = Vec::new();
        loop {
            let named: Named = self.named()?;
            let kind = if self.takes_word("to") {
                self.expect_word("typeof")?;
                self.expect_mark("(")?;
                let kind = self.type_name()?;
                self.expect_mark(")")?;
                Some(kind)
            } else {
                None
            };
            items.push((named, kind));
            if !self.takes_mark(",") {
                break;
            }
        }
        let limit = if self.takes_word("limit") { Some(self.expr()?) } else { None };
        Ok(Expand { as_pairs, index, items, limit })
    }

    fn parse_step(&mut self, is_where: bool) -> Result<Parse, QueryError> {
        let (mut kind, mut flags) = (ParseKind::Simple, None);
        while let Some((name, value)) = self.option()? {
            match (name.as_str(), value) {
                ("kind", OptionValue::Word(word)) => {
                    kind = match word.as_str() {
                        "simple" => ParseKind::Simple,
                        "regex" => ParseKind::Regex,
                        "relaxed" => ParseKind::Relaxed,
                        _ => return Err(QueryError::invalid(format!("parse: there is no kind '{word}'."))),
                    }
                }
                ("flags", OptionValue::Word(word)) => flags = Some(word),
                (name, _) => return Err(QueryError::invalid(format!("parse: '{name}' is not understood."))),
            }
        }
        let expr = self.expr()?;
        self.expect_word("with")?;
        let mut pattern = Vec::new();
        while !self.ends_step() {
            pattern.push(match self.kind().clone() {
                Kind::Mark("*") => {
                    self.at += 1;
                    ParsePart::Skip
                }
                Kind::Literal(Type::String, Value::String(text)) => {
                    self.at += 1;
                    ParsePart::Text(text.to_string())
                }
                _ => {
                    let name = self.name("'*', a text or a column")?;
                    let kind = if self.takes_mark(":") { self.type_name()? } else { Type::String };
                    ParsePart::Column(name, kind)
                }
            });
        }
        if pattern.is_empty() {
            return Err(self.unexpected("'*', a text or a column"));
        }
        Ok(Parse { kind, flags, is_where, expr, pattern })
    }
}

/// `$left.name` or `$right.name`: true for left.
fn side(expr: &Expr) -> Option<(bool, Expr)> {
    let Expr::Member(of, name) = expr else { return None };
    match as_name(of)? {
        "$left" => Some((true, Expr::Name(name.clone()))),
        "$right" => Some((false, Expr::Name(name.clone()))),
        _ => None,
    }
}

/// A pipeline that is only a source.
impl From<Source> for Pipeline {
    fn from(source: Source) -> Self {
        Self { source, steps: Vec::new() }
    }
}

const ON: &str = "join: write 'on column' or 'on $left.column == $right.column'.";

pub(crate) const STEPS: [&str; 46] = [
    "where",
    "filter",
    "extend",
    "project",
    "project-away",
    "project-keep",
    "project-rename",
    "project-reorder",
    "summarize",
    "distinct",
    "count",
    "top",
    "sort",
    "order",
    "take",
    "limit",
    "sample",
    "join",
    "lookup",
    "union",
    "mv-expand",
    "mvexpand",
    "mv-apply",
    "mvapply",
    "parse",
    "parse-where",
    "search",
    "getschema",
    "serialize",
    "as",
    "render",
    // Kusto's others, which are refused by name.
    "make-series",
    "make-graph",
    "evaluate",
    "top-nested",
    "top-hitters",
    "sample-distinct",
    "partition",
    "parse-kv",
    "reduce",
    "invoke",
    "consume",
    "facet",
    "fork",
    "scan",
    "find",
];
