//! Expressions, by precedence: `or`, `and`, tests, sums, products, signs, members.

use super::{Parser, Rule};
use crate::error::QueryError;
use crate::lex::Kind;
use crate::syntax::{AmongKind, Expr, Operator, Others, Test, TestKind};
use crate::value::{Type, Value};

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr, QueryError> {
        self.once(Rule::Expr, |it| {
            let first = it.conjunction()?;
            if !it.is_word("or") {
                return Ok(first);
            }
            let mut terms = vec![first];
            while it.takes_word("or") {
                terms.push(it.conjunction()?);
            }
            Ok(Expr::Or(terms))
        })
    }

    fn conjunction(&mut self) -> Result<Expr, QueryError> {
        let first = self.test()?;
        if !self.is_word("and") {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.takes_word("and") {
            terms.push(self.test()?);
        }
        Ok(Expr::And(terms))
    }

    fn test(&mut self) -> Result<Expr, QueryError> {
        let mut left = if self.is_mark("*")
            && matches!(self.ahead(1), Kind::Word(_) | Kind::Mark("==" | "=~" | "!" | "!=" | "!~" | "<>"))
        {
            self.at += 1;
            Expr::Star
        } else {
            self.sum()?
        };
        for _ in 0..CHAIN_MAX {
            match self.tested(left)? {
                Tested::Yes(tested) => left = tested,
                Tested::No(left) => return Ok(left),
            }
        }
        Err(chain_too_long())
    }

    /// The test of `left` that follows, if one does.
    fn tested(&mut self, left: Expr) -> Result<Tested, QueryError> {
        let operator = match self.kind().clone() {
            Kind::Mark("==") => Operator::Equal,
            Kind::Mark("!=" | "<>") => Operator::NotEqual,
            Kind::Mark("<") => Operator::Less,
            Kind::Mark("<=") => Operator::LessOrEqual,
            Kind::Mark(">") => Operator::Greater,
            Kind::Mark(">=") => Operator::GreaterOrEqual,
            Kind::Mark(mark @ ("=~" | "!~")) => {
                Operator::Text(Test { kind: TestKind::Equal, is_negated: mark == "!~", is_cased: false })
            }
            Kind::Mark("!") if self.is_attached(1) => {
                let Kind::Word(word) = self.ahead(1).clone() else { return Ok(Tested::No(left)) };
                self.at += 1;
                return match self.worded(left, &word, true)? {
                    Tested::No(_) => Err(self.unexpected("an operator")),
                    tested => Ok(tested),
                };
            }
            Kind::Word(word) => return self.worded(left, &word, false),
            _ => return Ok(Tested::No(left)),
        };
        self.at += 1;
        let right = self.sum()?;
        Ok(Tested::Yes(Expr::Binary(operator, Box::new(left), Box::new(right))))
    }

    /// A test that is written as a word.
    fn worded(&mut self, left: Expr, word: &str, is_negated: bool) -> Result<Tested, QueryError> {
        let among = |kind, is_cased| (kind, is_cased);
        let (kind, is_cased) = match word {
            "in" => {
                self.at += 1;
                let is_cased = !(self.is_mark("~") && self.is_attached(0));
                self.at += usize::from(!is_cased);
                among(AmongKind::In, is_cased)
            }
            "has_any" => {
                self.at += 1;
                among(AmongKind::HasAny, false)
            }
            "has_all" => {
                self.at += 1;
                among(AmongKind::HasAll, false)
            }
            "between" => {
                self.at += 1;
                self.expect_mark("(")?;
                let from = Box::new(self.expr()?);
                self.expect_mark("..")?;
                let to = Box::new(self.expr()?);
                self.expect_mark(")")?;
                return Ok(Tested::Yes(Expr::Between { is_negated, value: Box::new(left), from, to }));
            }
            "matches" if matches!(self.ahead(1), Kind::Word(next) if next == "regex") => {
                self.at += 2;
                let test = Test { kind: TestKind::Matches, is_negated, is_cased: true };
                let right = Box::new(self.sum()?);
                return Ok(Tested::Yes(Expr::Binary(Operator::Text(test), Box::new(left), right)));
            }
            _ => {
                // Kusto's older way to write `!contains`.
                let older = word.strip_prefix("not").filter(|it| !is_negated && it.starts_with("contains"));
                let (word, is_negated) = older.map_or((word, is_negated), |word| (word, true));
                let (word, is_cased) = word.strip_suffix("_cs").map_or((word, false), |word| (word, true));
                let kind = match word {
                    "contains" => TestKind::Contains,
                    "containscs" => TestKind::Contains,
                    "startswith" => TestKind::StartsWith,
                    "endswith" => TestKind::EndsWith,
                    "has" => TestKind::Has,
                    "hasprefix" => TestKind::HasPrefix,
                    "hassuffix" => TestKind::HasSuffix,
                    _ => return Ok(Tested::No(left)),
                };
                self.at += 1;
                let test = Test { kind, is_negated, is_cased: is_cased || word == "containscs" };
                let right = Box::new(self.sum()?);
                return Ok(Tested::Yes(Expr::Binary(Operator::Text(test), Box::new(left), right)));
            }
        };
        let others = self.others()?;
        Ok(Tested::Yes(Expr::Among { kind, is_negated, is_cased, left: Box::new(left), others }))
    }

    /// `(a, b)` or `(rows)`
    fn others(&mut self) -> Result<Others, QueryError> {
        self.expect_mark("(")?;
        let from = self.at;
        match self.expr_list() {
            Ok(list) if self.takes_mark(")") => Ok(Others::List(list)),
            as_list => {
                let reached = self.at;
                self.at = from;
                let rows = self.rows_of_a_source().and_then(|rows| {
                    self.expect_mark(")")?;
                    Ok(Others::Table(Box::new(rows)))
                });
                match (rows, as_list) {
                    (Err(_), Err(error)) if self.at <= reached => Err(error),
                    (rows, _) => rows,
                }
            }
        }
    }

    fn expr_list(&mut self) -> Result<Vec<Expr>, QueryError> {
        let mut list = vec![self.expr()?];
        while self.takes_mark(",") {
            list.push(self.expr()?);
        }
        Ok(list)
    }

    fn sum(&mut self) -> Result<Expr, QueryError> {
        let mut left = self.product()?;
        for _ in 0..CHAIN_MAX {
            let operator = match self.kind() {
                Kind::Mark("+") => Operator::Add,
                Kind::Mark("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
        Err(chain_too_long())
    }

    fn product(&mut self) -> Result<Expr, QueryError> {
        let mut left = self.signed()?;
        for _ in 0..CHAIN_MAX {
            let operator = match self.kind() {
                // `a * contains "x"` would be a product with nothing.
                Kind::Mark("*") => Operator::Multiply,
                Kind::Mark("/") => Operator::Divide,
                Kind::Mark("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(operator, Box::new(left), Box::new(self.signed()?));
        }
        Err(chain_too_long())
    }

    fn signed(&mut self) -> Result<Expr, QueryError> {
        if self.takes_mark("-") {
            let operand = self.deeper(Self::signed)?;
            return Ok(match operand {
                Expr::Literal(kind, Value::Long(number)) => {
                    Expr::Literal(kind, Value::Long(number.wrapping_neg()))
                }
                Expr::Literal(kind, Value::Real(number)) => Expr::Literal(kind, Value::Real(-number)),
                Expr::Literal(kind, Value::TimeSpan(ticks)) => {
                    Expr::Literal(kind, Value::TimeSpan(ticks.wrapping_neg()))
                }
                operand => Expr::Negate(Box::new(operand)),
            });
        }
        if self.takes_mark("+") {
            return self.deeper(Self::signed);
        }
        self.member()
    }

    fn member(&mut self) -> Result<Expr, QueryError> {
        let mut of = self.primary()?;
        for _ in 0..CHAIN_MAX {
            if self.takes_mark(".") {
                // `.["a b"]` is `["a b"]`.
                if !self.is_mark("[") {
                    let name = self.name("a member")?;
                    of = Expr::Member(Box::new(of), name);
                    continue;
                }
            }
            if !self.takes_mark("[") {
                return Ok(of);
            }
            let index = self.expr()?;
            self.expect_mark("]")?;
            of = match index {
                Expr::Literal(Type::String, Value::String(name)) => {
                    Expr::Member(Box::new(of), name.to_string())
                }
                index => Expr::Index(Box::new(of), Box::new(index)),
            };
        }
        Err(chain_too_long())
    }

    fn primary(&mut self) -> Result<Expr, QueryError> {
        match self.kind().clone() {
            Kind::Literal(kind, value) => {
                self.at += 1;
                // Texts side by side are one.
                let mut value = value;
                while let (
                    Type::String,
                    Value::String(text),
                    Kind::Literal(Type::String, Value::String(more)),
                ) = (kind, &value, self.kind())
                {
                    value = Value::text(format!("{text}{more}"));
                    self.at += 1;
                }
                Ok(Expr::Literal(kind, value))
            }
            Kind::Mark("(") => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect_mark(")")?;
                Ok(inner)
            }
            Kind::Mark("[") => match self.takes_bracketed_name()? {
                Some(name) => Ok(Expr::Name(name)),
                None => Err(self.unexpected("an expression")),
            },
            // `*` as an argument: every column.
            Kind::Mark("*") => {
                self.at += 1;
                Ok(Expr::Star)
            }
            Kind::Word(word) => self.word(word),
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn word(&mut self, word: String) -> Result<Expr, QueryError> {
        if RESERVED.contains(&word.as_str()) {
            // As the service says it: the word was taken, and what follows does not make sense of it.
            self.at += usize::from(matches!(self.ahead(1), Kind::End));
            return Err(self.unexpected("an expression"));
        }
        self.at += 1;
        match word.as_str() {
            "true" | "True" | "TRUE" => return Ok(Expr::Literal(Type::Bool, Value::Bool(true))),
            "false" | "False" | "FALSE" => return Ok(Expr::Literal(Type::Bool, Value::Bool(false))),
            _ => {}
        }
        if !self.is_mark("(") {
            // Resource Graph takes a bare null for one of any type.
            return Ok(if word == "null" {
                Expr::Literal(Type::Dynamic, Value::Null)
            } else {
                Expr::Name(word)
            });
        }
        if word == "union" {
            // There is no function of that name: these are rows.
            self.at -= 1;
            return Err(self.unexpected("an expression"));
        }
        self.at += 1;
        match word.to_ascii_lowercase().as_str() {
            "dynamic" => {
                let value = self.deeper(Self::dynamic)?;
                self.expect_mark(")")?;
                return Ok(Expr::Literal(Type::Dynamic, value));
            }
            "typeof" => {
                let kind = self.type_name()?;
                self.expect_mark(")")?;
                return Ok(Expr::TypeOf(kind));
            }
            "toscalar" => {
                let from = self.at;
                let rows = self.pipeline()?;
                if self.takes_mark(")") {
                    return Ok(Expr::ToScalar(Box::new(rows)));
                }
                self.at = from;
                return Err(self.unexpected("rows"));
            }
            _ => {}
        }
        let arguments = self.list(")", Self::named_argument)?;
        Ok(Expr::Call(word, arguments))
    }

    /// An argument, maybe with its parameter's name.
    pub(super) fn named_argument(&mut self) -> Result<Expr, QueryError> {
        let from = self.at;
        if let Ok(Some(name)) = self.takes_name()
            && self.takes_mark("=")
        {
            return Ok(Expr::Named(name, Box::new(self.expr()?)));
        }
        self.at = from;
        self.expr()
    }

    /// JSON, with the language's own values where JSON has none.
    fn dynamic(&mut self) -> Result<Value, QueryError> {
        let sign = if self.takes_mark("-") { -1 } else { 1 };
        match self.kind().clone() {
            Kind::Literal(_, value) => {
                self.at += 1;
                Ok(match value {
                    Value::Long(number) => Value::Long(number.wrapping_mul(sign)),
                    Value::Real(number) if sign < 0 => Value::Real(-number),
                    other => other,
                })
            }
            Kind::Word(word) => {
                let value = match word.as_str() {
                    "null" => Value::Null,
                    "true" | "True" => Value::Bool(true),
                    "false" | "False" => Value::Bool(false),
                    "dynamic" if matches!(self.ahead(1), Kind::Mark("(")) => {
                        self.at += 2;
                        let value = self.deeper(Self::dynamic)?;
                        self.expect_mark(")")?;
                        return Ok(value);
                    }
                    _ => return Err(self.unexpected("a JSON value")),
                };
                self.at += 1;
                Ok(value)
            }
            Kind::Mark("[") => {
                self.at += 1;
                let items = self.list("]", |it| it.deeper(Self::dynamic))?;
                Ok(Value::array(items))
            }
            Kind::Mark("{") => {
                self.at += 1;
                let members = self.list("}", |it| {
                    let name = match it.kind().clone() {
                        Kind::Literal(Type::String, Value::String(name)) => name,
                        Kind::Word(name) => name.into(),
                        _ => return Err(it.unexpected("a member's name")),
                    };
                    it.at += 1;
                    it.expect_mark(":")?;
                    Ok((name, it.deeper(Self::dynamic)?))
                })?;
                Ok(Value::object(members))
            }
            _ => Err(self.unexpected("a JSON value")),
        }
    }
}

/// Whether a test followed, and what was read.
enum Tested {
    Yes(Expr),
    No(Expr),
}

fn chain_too_long() -> QueryError {
    QueryError::invalid(format!(
        "More than {CHAIN_MAX} operators in a row. Use functions of several arguments."
    ))
}

/// Words that name no column.
pub(crate) const RESERVED: [&str; 14] = [
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
];

const CHAIN_MAX: usize = 200;
