//! The syntax tree as text that reads back as the same tree.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::lex::literal_type;
use crate::parse::STEPS;
use crate::syntax::{
    AmongKind, Argument, Expand, Expr, Join, JoinKind, Lambda, Let, LetValue, Named, Operator, Others, Parse,
    ParseKind, ParsePart, Pipeline, Query, SortKey, Source, Step, Test, TestKind, Union,
};
use crate::value::{Type, Value};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for it in &self.lets {
            writeln!(f, "{it};")?;
        }
        write!(f, "{}", self.body)
    }
}

impl Display for Let {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "let {} = {}", Name(&self.name), self.value)
    }
}

impl Display for LetValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(expr) => write!(f, "{expr}"),
            Self::Table(rows) => write!(f, "{rows}"),
            Self::Lambda(lambda) => write!(f, "{lambda}"),
        }
    }
}

impl Display for Lambda {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        for (position, parameter) in self.parameters.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{}:{}", Name(&parameter.name), parameter.kind.map_or("(*)", Type::name))?;
            if let Some(default) = &parameter.default {
                write!(f, " = {default}")?;
            }
        }
        f.write_str(") { ")?;
        for it in &self.lets {
            write!(f, "{it}; ")?;
        }
        write!(f, "{} }}", self.body)
    }
}

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut steps = self.steps.iter();
        match &self.source {
            Source::Default => match steps.next() {
                Some(first) => write!(f, "{first}")?,
                None => f.write_str("resources")?,
            },
            source => write!(f, "{source}")?,
        }
        for step in steps {
            write!(f, "\n| {step}")?;
        }
        Ok(())
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("resources"),
            Self::Named(name) => write!(f, "{}", Name(name)),
            Self::Call(name, arguments) => write!(f, "{name}({})", List(arguments)),
            Self::Nested(inner) => write!(f, "({inner})"),
            Self::Union(union) => write!(f, "{union}"),
            Self::Print(list) => write!(f, "print {}", List(list)),
            Self::Range { name, from, to, step } => {
                write!(f, "range {} from {from} to {to} step {step}", Name(name))
            }
            Self::Rows { columns, cells } => {
                f.write_str("datatable (")?;
                for (position, (name, kind)) in columns.iter().enumerate() {
                    write!(f, "{}{}:{}", if position == 0 { "" } else { ", " }, Name(name), kind.name())?;
                }
                write!(f, ") [{}]", List(cells))
            }
            Self::Saved(id) => write!(f, "{{{{{id}}}}}"),
        }
    }
}

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(expr) => write!(f, "{expr}"),
            Self::Table(rows) => write!(f, "{rows}"),
        }
    }
}

impl Display for Union {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("union")?;
        if self.is_inner {
            f.write_str(" kind=inner")?;
        }
        if let Some(name) = &self.source_column {
            write!(f, " withsource={name}")?;
        }
        for (position, leg) in self.legs.iter().enumerate() {
            write!(f, "{} ({leg})", if position == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Display for Named {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.names.as_slice() {
            [] => write!(f, "{}", self.expr),
            [name] => write!(f, "{} = {}", Name(name), self.expr),
            names => {
                f.write_char('(')?;
                for (position, name) in names.iter().enumerate() {
                    write!(f, "{}{}", if position == 0 { "" } else { ", " }, Name(name))?;
                }
                write!(f, ") = {}", self.expr)
            }
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Where(expr) => write!(f, "where {expr}"),
            Self::Extend(list) => write!(f, "extend {}", List(list)),
            Self::Project(list) => write!(f, "project {}", List(list)),
            Self::ProjectAway(patterns) => write!(f, "project-away {}", Patterns(patterns)),
            Self::ProjectKeep(patterns) => write!(f, "project-keep {}", Patterns(patterns)),
            Self::ProjectRename(renames) => {
                f.write_str("project-rename ")?;
                for (position, (new, old)) in renames.iter().enumerate() {
                    write!(f, "{}{} = {}", if position == 0 { "" } else { ", " }, Name(new), Name(old))?;
                }
                Ok(())
            }
            Self::ProjectReorder(reorders) => {
                f.write_str("project-reorder ")?;
                for (position, (pattern, order)) in reorders.iter().enumerate() {
                    let order = match order {
                        Some(true) => " asc",
                        Some(false) => " desc",
                        None => "",
                    };
                    write!(f, "{}{}{order}", if position == 0 { "" } else { ", " }, Pattern(pattern))?;
                }
                Ok(())
            }
            Self::Summarize { aggregates, by } => {
                write!(f, "summarize {}", List(aggregates))?;
                if by.is_empty() { Ok(()) } else { write!(f, " by {}", List(by)) }
            }
            Self::Distinct(None) => f.write_str("distinct *"),
            Self::Distinct(Some(list)) => write!(f, "distinct {}", List(list)),
            Self::Count(None) => f.write_str("count"),
            Self::Count(Some(name)) => write!(f, "count as {}", Name(name)),
            Self::Top(count, keys) => write!(f, "top {count} by {}", List(keys)),
            Self::Sort(keys) => write!(f, "sort by {}", List(keys)),
            Self::Take(count) => write!(f, "take {count}"),
            Self::Join(join) => write!(f, "{join}"),
            Self::Union(union) => write!(f, "{union}"),
            Self::MvExpand(expand) => write!(f, "mv-expand{expand}"),
            Self::MvApply(expand, steps) => {
                write!(f, "mv-apply{expand} on (")?;
                for (position, step) in steps.iter().enumerate() {
                    write!(f, "{}{step}", if position == 0 { "" } else { " | " })?;
                }
                f.write_char(')')
            }
            Self::Parse(parse) => write!(f, "{parse}"),
            Self::Search(expr) => write!(f, "search {expr}"),
            Self::GetSchema => f.write_str("getschema"),
            Self::Serialize(list) => write!(f, "serialize {}", List(list)),
        }
    }
}

impl Display for SortKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let order = if self.is_ascending { "asc" } else { "desc" };
        write!(f, "{} {order} nulls {}", self.expr, if self.nulls_first { "first" } else { "last" })
    }
}

impl Display for Join {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = JoinKind::ALL.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        let word = if self.is_lookup { "lookup" } else { "join" };
        write!(f, "{word} kind={kind} ({}) on ", self.right)?;
        for (position, (left, right)) in self.on.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            match (left, right) {
                (Expr::Name(left), Expr::Name(right)) if left == right => write!(f, "{comma}{}", Name(left))?,
                (left, right) => {
                    write!(f, "{comma}$left.{left} == $right.{right}")?;
                }
            }
        }
        Ok(())
    }
}

impl Display for Expand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.as_pairs {
            f.write_str(" kind=array")?;
        }
        if let Some(index) = &self.index {
            write!(f, " with_itemindex={index}")?;
        }
        for (position, (named, kind)) in self.items.iter().enumerate() {
            write!(f, "{} {named}", if position == 0 { "" } else { "," })?;
            if let Some(kind) = kind {
                write!(f, " to typeof({})", kind.name())?;
            }
        }
        if let Some(limit) = &self.limit {
            write!(f, " limit {limit}")?;
        }
        Ok(())
    }
}

impl Display for Parse {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_where { "parse-where" } else { "parse" })?;
        match self.kind {
            ParseKind::Simple => {}
            ParseKind::Regex => f.write_str(" kind=regex")?,
            ParseKind::Relaxed => f.write_str(" kind=relaxed")?,
        }
        if let Some(flags) = &self.flags {
            write!(f, " flags={flags}")?;
        }
        write!(f, " {} with", self.expr)?;
        for part in &self.pattern {
            match part {
                ParsePart::Skip => f.write_str(" *")?,
                ParsePart::Text(text) => write!(f, " {}", Text(text))?,
                ParsePart::Column(name, kind) => write!(f, " {}:{}", Name(name), kind.name())?,
            }
        }
        Ok(())
    }
}

/// Every part that is not a lone word stands in brackets, so that no precedence has to be told.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(kind, value) => literal(f, *kind, value),
            Self::Name(name) => write!(f, "{}", Name(name)),
            Self::Star => f.write_char('*'),
            Self::Member(of, name) => write!(f, "{of}[{}]", Text(name)),
            Self::Index(of, index) => write!(f, "{of}[({index})]"),
            // A call that read as a value would be one: `date(02040)` is none, `date(2040)` is.
            Self::Call(name, arguments) if arguments.len() == 1 && literal_type(name).is_some() => {
                write!(f, "{name}(({}))", List(arguments))
            }
            Self::Call(name, arguments) => write!(f, "{name}({})", List(arguments)),
            Self::Named(name, expr) => write!(f, "{}={expr}", Name(name)),
            Self::Negate(expr) => write!(f, "(-({expr}))"),
            Self::And(terms) => chain(f, "and", terms),
            Self::Or(terms) => chain(f, "or", terms),
            Self::Binary(operator, left, right) => {
                let (open, close) = if **left == Self::Star { ("", "") } else { ("(", ")") };
                write!(f, "({open}{left}{close} {} ({right}))", OperatorName(*operator))
            }
            Self::Among { kind, is_negated, is_cased, left, others } => {
                let name = match kind {
                    AmongKind::In => "in",
                    AmongKind::HasAny => "has_any",
                    AmongKind::HasAll => "has_all",
                };
                let not = if *is_negated { "!" } else { "" };
                let tilde = if *kind == AmongKind::In && !is_cased { "~" } else { "" };
                match others {
                    Others::List(list) => write!(f, "(({left}) {not}{name}{tilde} ({}))", List(list)),
                    Others::Table(rows) => write!(f, "(({left}) {not}{name}{tilde} ({rows}))"),
                }
            }
            Self::Between { is_negated, value, from, to } => {
                write!(f, "(({value}) {}between (({from}) .. ({to})))", if *is_negated { "!" } else { "" })
            }
            Self::ToScalar(rows) => write!(f, "toscalar({rows})"),
            Self::TypeOf(kind) => write!(f, "typeof({})", kind.name()),
        }
    }
}

fn chain(f: &mut Formatter<'_>, word: &str, terms: &[Expr]) -> fmt::Result {
    f.write_char('(')?;
    for (position, term) in terms.iter().enumerate() {
        if position > 0 {
            write!(f, " {word} ")?;
        }
        write!(f, "({term})")?;
    }
    f.write_char(')')
}

fn literal(f: &mut Formatter<'_>, kind: Type, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Type::Dynamic, value) => {
            f.write_str("dynamic(")?;
            dynamic(f, value)?;
            f.write_char(')')
        }
        (kind, Value::Null) => write!(f, "{}(null)", kind.name()),
        (Type::String, Value::String(text)) => write!(f, "{}", Text(text)),
        (Type::Long, Value::Long(number)) if *number >= 0 => write!(f, "{number}"),
        (Type::Bool, value) => write!(f, "{}", value.to_text()),
        (Type::Real | Type::Decimal, Value::Real(number)) if number.is_infinite() => {
            write!(f, "{}({}inf)", kind.name(), if *number < 0.0 { "-" } else { "+" })
        }
        (kind, value) => write!(f, "{}({})", kind.name(), value.to_text()),
    }
}

fn dynamic(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Array(items) => {
            f.write_char('[')?;
            for (position, item) in items.iter().enumerate() {
                f.write_str(if position == 0 { "" } else { ", " })?;
                dynamic(f, item)?;
            }
            f.write_char(']')
        }
        Value::Object(members) => {
            f.write_char('{')?;
            for (position, (name, value)) in members.iter().enumerate() {
                write!(f, "{}{}: ", if position == 0 { "" } else { ", " }, Text(name))?;
                dynamic(f, value)?;
            }
            f.write_char('}')
        }
        Value::Null => f.write_str("null"),
        Value::String(text) => write!(f, "{}", Text(text)),
        Value::Bool(truth) => write!(f, "{truth}"),
        Value::Long(number) if *number >= 0 => write!(f, "{number}"),
        Value::Long(_) => literal(f, Type::Long, value),
        Value::Real(_) => literal(f, Type::Real, value),
        Value::DateTime(_) => literal(f, Type::DateTime, value),
        Value::TimeSpan(_) => literal(f, Type::TimeSpan, value),
    }
}

struct OperatorName(Operator);

impl Display for OperatorName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Text(Test { kind: TestKind::Equal, is_negated, .. }) => {
                return f.write_str(if is_negated { "!~" } else { "=~" });
            }
            Operator::Text(Test { kind, is_negated, is_cased }) => {
                let name = match kind {
                    TestKind::Equal => "=~",
                    TestKind::Contains => "contains",
                    TestKind::StartsWith => "startswith",
                    TestKind::EndsWith => "endswith",
                    TestKind::Has => "has",
                    TestKind::HasPrefix => "hasprefix",
                    TestKind::HasSuffix => "hassuffix",
                    TestKind::Matches => "matches regex",
                };
                let cased = if is_cased && kind != TestKind::Matches { "_cs" } else { "" };
                return write!(f, "{}{name}{cased}", if is_negated { "!" } else { "" });
            }
        })
    }
}

struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if position == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

struct Patterns<'a>(&'a [String]);

impl Display for Patterns<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{}", if position == 0 { "" } else { ", " }, Pattern(pattern))?;
        }
        Ok(())
    }
}

struct Pattern<'a>(&'a str);

impl Display for Pattern<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.contains('*') { f.write_str(self.0) } else { write!(f, "{}", Name(self.0)) }
    }
}

/// A name, in brackets if it is no plain word.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        let is_plain = begins && characters.all(|it| it.is_ascii_alphanumeric() || it == '_');
        if is_plain
            && !SPECIAL.contains(&self.0)
            && !STEPS.contains(&self.0.to_ascii_lowercase().as_str())
            && Type::of(self.0).is_none()
        {
            f.write_str(self.0)
        } else {
            write!(f, "[{}]", Text(self.0))
        }
    }
}

struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                other if u32::from(other) < 0x20 => write!(f, "\\u{:04x}", u32::from(other))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

/// Words that would be read as something else than a name.
const SPECIAL: [&str; 48] = [
    "where",
    "project",
    "extend",
    "summarize",
    "join",
    "and",
    "or",
    "in",
    "between",
    "by",
    "has",
    "contains",
    "startswith",
    "endswith",
    "true",
    "false",
    "True",
    "False",
    "TRUE",
    "FALSE",
    "null",
    "union",
    "print",
    "range",
    "datatable",
    "let",
    "set",
    "h",
    "H",
    "asc",
    "desc",
    "nulls",
    "on",
    "with",
    "to",
    "limit",
    "kind",
    "flags",
    "withsource",
    "with_source",
    "isfuzzy",
    "bagexpansion",
    "with_itemindex",
    "hint",
    "matches",
    "has_any",
    "has_all",
    "decodeblocks",
];
