//! Expressions: names to positions, and the types that fit.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::window::{self, Windows};
use super::{Binder, Given, Scope, unknown_function, unknown_name};
use crate::aggregate;
use crate::compute::arithmetic_type;
use crate::error::QueryError;
use crate::eval::has_members;
use crate::exec;
use crate::function::{self, Function, Param, Returns};
use crate::plan::{AggregateCall, Among, Bound, Call, Field, Memo, Node};
use crate::syntax::{AmongKind, Expr, Operator, Others, Pipeline, Test, TestKind};
use crate::value::{Type, Value};

/// What the names in an expression may mean.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    fields: &'r [Field],
    scope: &'r Scope,
    /// Columns that the same operator made before: meant where no column has the name.
    made: &'r [(Arc<str>, Bound)],
    /// Where aggregates go: the expression is over what they come to.
    aggregates: Option<&'r RefCell<Vec<AggregateCall>>>,
    /// Where calls go that look at the rows beside a row.
    windows: Option<&'r Windows>,
    /// How many columns stand before those of the aggregates.
    keys: usize,
}

impl<'r> Row<'r> {
    pub(crate) fn none(scope: &'r Scope) -> Self {
        Self::of(&[], scope)
    }

    pub(crate) fn of(fields: &'r [Field], scope: &'r Scope) -> Self {
        Self { fields, scope, made: &[], aggregates: None, windows: None, keys: 0 }
    }

    pub(crate) fn with_made(mut self, made: &'r [(Arc<str>, Bound)]) -> Self {
        self.made = made;
        self
    }

    pub(crate) fn with_windows(mut self, windows: &'r Windows) -> Self {
        self.windows = Some(windows);
        self
    }

    pub(crate) fn windows(&self) -> Option<&'r Windows> {
        self.windows
    }

    pub(crate) fn aggregating(mut self, aggregates: &'r RefCell<Vec<AggregateCall>>, keys: usize) -> Self {
        self.aggregates = Some(aggregates);
        self.keys = keys;
        self
    }

    pub(crate) fn without_aggregates(mut self) -> Self {
        self.aggregates = None;
        self
    }

    pub(crate) fn fields(&self) -> &'r [Field] {
        self.fields
    }

    /// The position of a column: of that very name, or else the only one in another case.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        if let Some(found) = self.fields.iter().position(|field| &*field.name == name) {
            return Some(found);
        }
        let mut alike = (0..self.fields.len()).filter(|at| self.fields[*at].name.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    }

    fn exact(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| &*field.name == name)
    }
}

impl Binder<'_, '_> {
    pub(crate) fn expr(&self, expr: &Expr, row: &Row<'_>) -> Result<Bound, QueryError> {
        self.grow()?;
        let bound = self.deeper(|| self.unfolded(expr, row))?;
        Ok(self.folded(bound))
    }

    /// What depends on no row is computed now.
    fn folded(&self, bound: Bound) -> Bound {
        let is_leaf = matches!(bound.node, Node::Const(_) | Node::Column(_));
        if is_leaf || !bound.children().iter().all(|child| child.as_const().is_some()) {
            return bound;
        }
        let value = bound.eval_const(self.context);
        Bound::constant(bound.kind, value)
    }

    fn unfolded(&self, expr: &Expr, row: &Row<'_>) -> Result<Bound, QueryError> {
        match expr {
            Expr::Literal(kind, value) => Ok(Bound::constant(*kind, value.clone())),
            Expr::TypeOf(kind) => Ok(Bound::constant(Type::String, Value::text(kind.name()))),
            Expr::Name(name) => self.name(name, row),
            Expr::Star => {
                Err(QueryError::invalid("'*' stands for any column only as the left side of a test of text."))
            }
            Expr::Member(of, name) => {
                let of = self.expr(of, row)?;
                let of = if has_members(of.kind) { of } else { self.parsed(of, name)? };
                let node = Node::Member(Box::new(of), Arc::from(name.as_str()), Memo::default());
                Ok(Bound { kind: Type::Dynamic, node })
            }
            Expr::Index(of, at) => {
                let (of, at) = (self.expr(of, row)?, self.expr(at, row)?);
                let of = if has_members(of.kind) { of } else { self.parsed(of, "[]")? };
                Ok(Bound {
                    kind: Type::Dynamic,
                    node: Node::Index(Box::new(of), Box::new(at), Memo::default()),
                })
            }
            Expr::Call(name, arguments) => self.call(name, arguments, row),
            // Functions that are not the query's own take their arguments in order, whatever they are called.
            Expr::Named(_, expr) => self.expr(expr, row),
            Expr::Negate(of) => {
                let of = self.expr(of, row)?;
                let zero = match of.kind {
                    Type::TimeSpan => Bound::constant(Type::TimeSpan, Value::TimeSpan(0)),
                    Type::Real | Type::Decimal => Bound::constant(of.kind, Value::Real(0.0)),
                    Type::Int => Bound::constant(Type::Int, Value::Long(0)),
                    _ => Bound::constant(Type::Long, Value::Long(0)),
                };
                self.arithmetic(Operator::Subtract, zero, of)
            }
            Expr::And(terms) => {
                self.terms(terms, row, "and").map(|terms| truth(Node::And(terms, Memo::default())))
            }
            Expr::Or(terms) => {
                self.terms(terms, row, "or").map(|terms| truth(Node::Or(terms, Memo::default())))
            }
            Expr::Binary(Operator::Text(test), left, right) => self.test(*test, left, right, row),
            Expr::Binary(operator, left, right) => {
                if let (Expr::Star, Operator::Equal) = (&**left, operator) {
                    return self.any_column(row, |column| {
                        let right = self.expr(right, row)?;
                        self.compare(Operator::Equal, self.as_type(column, Type::String), self.text(right))
                    });
                }
                let (left, right) = (self.expr(left, row)?, self.expr(right, row)?);
                match operator {
                    Operator::Add
                    | Operator::Subtract
                    | Operator::Multiply
                    | Operator::Divide
                    | Operator::Modulo => self.arithmetic(*operator, left, right),
                    operator => {
                        let ignores_case = ignores_case(&left, row) || ignores_case(&right, row);
                        self.comparison(*operator, left, right, ignores_case)
                    }
                }
            }
            Expr::Among { kind, is_negated, is_cased, left, others } => {
                self.among((*kind, *is_negated, *is_cased), left, others, row)
            }
            Expr::Between { is_negated, value, from, to } => {
                let (value, from) = (self.expr(value, row)?, self.expr(from, row)?);
                let mut to = self.expr(to, row)?;
                if value.kind == Type::DateTime && to.kind == Type::TimeSpan {
                    to = self.arithmetic(Operator::Add, from.clone(), to)?;
                }
                let least = self.compare(Operator::GreaterOrEqual, value.clone(), from)?;
                let most = self.compare(Operator::LessOrEqual, value, to)?;
                let within = truth(Node::And(vec![least, most], Memo::default()));
                if *is_negated { self.call_function("not", vec![within]) } else { Ok(within) }
            }
            Expr::ToScalar(rows) => self.to_scalar(rows, row.scope),
        }
    }

    fn name(&self, name: &str, row: &Row<'_>) -> Result<Bound, QueryError> {
        if row.aggregates.is_some() {
            if let Some(Given::Scalar(value)) = row.scope.find(name) {
                return Ok(value);
            }
            let message = format!("'{name}' is neither a key of the groups nor within an aggregate.");
            return Err(QueryError::invalid(message));
        }
        let column = |position: usize| Bound::column(position, &row.fields[position]);
        if let Some(position) = row.exact(name) {
            return Ok(column(position));
        }
        if let Some(Given::Scalar(value)) = row.scope.find(name) {
            return Ok(value);
        }
        if let Some((_, made)) = row.made.iter().rev().find(|(made, _)| &**made == name) {
            return Ok(made.clone());
        }
        row.position(name).map(column).ok_or_else(|| unknown_name(name))
    }

    /// A text that is asked for its members is parsed first, as a kindness.
    fn parsed(&self, of: Bound, what: &str) -> Result<Bound, QueryError> {
        if of.kind != Type::String {
            let message = format!("A value of type {} has no member '{what}'.", of.kind.name());
            return Err(QueryError::invalid(message));
        }
        self.call_function("parse_json", vec![of])
    }

    fn terms(&self, terms: &[Expr], row: &Row<'_>, word: &str) -> Result<Vec<Bound>, QueryError> {
        terms.iter().map(|term| self.predicate(term, row, word)).collect()
    }

    /// An expression that is true or not.
    pub(crate) fn predicate(&self, expr: &Expr, row: &Row<'_>, word: &str) -> Result<Bound, QueryError> {
        let bound = self.expr(expr, row)?;
        match bound.kind {
            Type::Bool => Ok(bound),
            Type::Dynamic | Type::Int | Type::Long => Ok(self.as_type(bound, Type::Bool)),
            kind => {
                let message = format!("'{word}' needs a boolean; this is of type {}.", kind.name());
                Err(QueryError::invalid(message))
            }
        }
    }

    /// Brought to the type, by conversion if need be.
    pub(crate) fn as_type(&self, bound: Bound, kind: Type) -> Bound {
        if bound.kind == kind {
            return bound;
        }
        self.folded(Bound { kind, node: Node::Convert(Box::new(bound), Memo::default()) })
    }

    fn text(&self, bound: Bound) -> Bound {
        if bound.kind == Type::Guid {
            Bound { kind: Type::String, ..bound }
        } else {
            self.as_type(bound, Type::String)
        }
    }

    fn arithmetic(&self, operator: Operator, left: Bound, right: Bound) -> Result<Bound, QueryError> {
        let Some(kind) = arithmetic_type(operator, left.kind, right.kind) else {
            let message = format!(
                "This operator cannot combine {} and {}. Convert one of them explicitly.",
                left.kind.name(),
                right.kind.name()
            );
            return Err(QueryError::invalid(message));
        };
        let node = Node::Arithmetic(operator, Box::new(left), Box::new(right), Memo::default());
        Ok(self.folded(Bound { kind, node }))
    }

    fn compare(&self, operator: Operator, left: Bound, right: Bound) -> Result<Bound, QueryError> {
        self.comparison(operator, left, right, false)
    }

    /// Brings both sides to what can be compared.
    fn comparison(
        &self,
        operator: Operator,
        left: Bound,
        right: Bound,
        ignores_case: bool,
    ) -> Result<Bound, QueryError> {
        let (left, right) = self.comparable(left, right)?;
        let ignores_case = ignores_case && matches!(operator, Operator::Equal | Operator::NotEqual);
        let node = Node::Compare(operator, ignores_case, Box::new(left), Box::new(right), Memo::default());
        Ok(self.folded(truth(node)))
    }

    fn comparable(&self, left: Bound, right: Bound) -> Result<(Bound, Bound), QueryError> {
        use Type::{Bool, Dynamic};
        let (one, other) = (left.kind, right.kind);
        let is_null = |bound: &Bound| bound.as_const().is_some_and(Value::is_null);
        if one == other || (one.is_number() && other.is_number()) || is_null(&left) || is_null(&right) {
            return Ok((left, right));
        }
        Ok(match (one, other) {
            (Dynamic, kind) if kind.is_text() => (self.text(left), right),
            (kind, Dynamic) if kind.is_text() => (left, self.text(right)),
            // A number in a document may have a fraction, whatever it is compared with.
            (Dynamic, kind) if kind.is_number() => (self.as_type(left, Type::Real), right),
            (kind, Dynamic) if kind.is_number() => (left, self.as_type(right, Type::Real)),
            (Dynamic, kind) => (self.as_type(left, kind), right),
            (kind, Dynamic) => (left, self.as_type(right, kind)),
            (Type::Guid, Type::String) => (left, self.as_type(right, Type::Guid)),
            (Type::String, Type::Guid) => (self.as_type(left, Type::Guid), right),
            (Bool, kind) if kind.is_number() => (self.as_type(left, Type::Long), right),
            (kind, Bool) if kind.is_number() => (left, self.as_type(right, Type::Long)),
            (kind @ (Type::DateTime | Type::TimeSpan | Bool), Type::String) => {
                (left, self.as_type(right, kind))
            }
            (Type::String, kind @ (Type::DateTime | Type::TimeSpan | Bool)) => {
                (self.as_type(left, kind), right)
            }
            (one, other) => {
                let message = format!(
                    "Cannot compare values of types {} and {}. Try adding explicit casts.",
                    one.name(),
                    other.name()
                );
                return Err(QueryError::invalid(message));
            }
        })
    }

    fn test(&self, test: Test, left: &Expr, right: &Expr, row: &Row<'_>) -> Result<Bound, QueryError> {
        if *left == Expr::Star {
            let is_negated = test.is_negated;
            let any = self.any_column(row, |column| {
                let needle = self.expr(right, row)?;
                self.tested(Test { is_negated: false, ..test }, column, needle)
            })?;
            return if is_negated { self.call_function("not", vec![any]) } else { Ok(any) };
        }
        let (left, right) = (self.expr(left, row)?, self.expr(right, row)?);
        self.tested(test, left, right)
    }

    fn tested(&self, test: Test, left: Bound, right: Bound) -> Result<Bound, QueryError> {
        let (left, right) = (self.text(left), self.text(right));
        if test.kind == TestKind::Matches
            && let Some(Value::String(pattern)) = right.as_const()
        {
            let regex = crate::function::pattern::compile(pattern)
                .map_err(|error| QueryError::invalid(error.to_string()))?;
            let node = Node::Matches(regex, test.is_negated, Box::new(left), Memo::default());
            return Ok(self.folded(truth(node)));
        }
        Ok(self.folded(truth(Node::Test(test, Box::new(left), Box::new(right), Memo::default()))))
    }

    /// True if something is so of any column.
    pub(crate) fn any_column(
        &self,
        row: &Row<'_>,
        is_so: impl Fn(Bound) -> Result<Bound, QueryError>,
    ) -> Result<Bound, QueryError> {
        let columns =
            row.fields.iter().enumerate().map(|(position, field)| is_so(Bound::column(position, field)));
        Ok(truth(Node::Or(columns.collect::<Result<_, _>>()?, Memo::default())))
    }

    fn among(
        &self,
        (kind, is_negated, is_cased): (AmongKind, bool, bool),
        left: &Expr,
        others: &Others,
        row: &Row<'_>,
    ) -> Result<Bound, QueryError> {
        if *left == Expr::Star {
            return Err(QueryError::invalid(
                "'*' cannot be tested against several values: write one test a value.",
            ));
        }
        let left = self.expr(left, row)?;
        let is_cased = is_cased && !(kind == AmongKind::In && ignores_case(&left, row));
        let mut others = match others {
            Others::Table(rows) => self.values_of(rows, row.scope)?,
            Others::List(list) => match list.as_slice() {
                [one] => match self.as_rows(one, row.scope).filter(|_| !is_column(one, row)) {
                    Some(rows) => self.values_of(&rows, row.scope)?,
                    None => vec![self.expr(one, row)?],
                },
                list => list.iter().map(|one| self.expr(one, row)).collect::<Result<_, _>>()?,
            },
        };
        let mut left = if kind == AmongKind::In { left } else { self.text(left) };
        if kind == AmongKind::In {
            // A list within `dynamic` is taken apart, and its items are compared as the left side is.
            let mut items = Vec::new();
            for other in others {
                match other.as_const() {
                    Some(Value::Array(list)) if other.kind == Type::Dynamic => {
                        items.extend(list.iter().map(|item| Bound::constant(type_of(item), item.clone())));
                    }
                    _ => items.push(other),
                }
            }
            others = Vec::with_capacity(items.len());
            for item in items {
                if item.kind == Type::Dynamic && item.as_const().is_none() {
                    others.push(item);
                    continue;
                }
                let (comparable, item) = self.comparable(left.clone(), item)?;
                left = comparable;
                others.push(item);
            }
        }
        let known: Option<HashSet<Value>> = (kind == AmongKind::In)
            .then(|| {
                others
                    .iter()
                    .map(|other| {
                        let value = other.as_const()?;
                        Some(match value.as_text() {
                            Some(text) if !is_cased => Value::text(text.to_lowercase()),
                            _ => value.clone(),
                        })
                    })
                    .collect()
            })
            .flatten();
        let known = known.map(Arc::new);
        if known.is_some() {
            others.clear();
        }
        let among = Among { kind, is_negated, is_cased, known };
        Ok(self.folded(truth(Node::Among(among, Box::new(left), others, Memo::default()))))
    }

    /// The first column of the rows.
    fn values_of(&self, rows: &Pipeline, scope: &Scope) -> Result<Vec<Bound>, QueryError> {
        let plan = self.pipeline(rows, scope)?;
        let kind = plan.fields.first().map_or(Type::Dynamic, |field| field.kind);
        let mut values = Vec::new();
        exec::for_each(plan, self.context, |batch| {
            for row in 0..batch.rows {
                let value = batch.columns.first().map_or(Value::Null, |column| column.get(row));
                self.context.hold(value.size())?;
                values.push(Bound::constant(kind, value));
            }
            Ok(())
        })?;
        Ok(values)
    }

    fn to_scalar(&self, rows: &Pipeline, scope: &Scope) -> Result<Bound, QueryError> {
        let plan = self.pipeline(rows, scope)?;
        let kind = plan.fields.first().map_or(Type::Dynamic, |field| field.kind);
        let mut value = None;
        exec::for_each(plan, self.context, |batch| {
            if value.is_none() && batch.rows > 0 {
                value = batch.columns.first().map(|column| column.get(0));
            }
            Ok(())
        })?;
        Ok(Bound::constant(kind, value.unwrap_or_else(|| kind.nothing())))
    }

    fn call(&self, name: &str, arguments: &[Expr], row: &Row<'_>) -> Result<Bound, QueryError> {
        if let Some(Given::Lambda(lambda, within)) = row.scope.find(name) {
            return self.call_lambda(name, (&lambda, &within), arguments, row);
        }
        if let (Some(calls), Some(aggregate)) = (row.aggregates, aggregate::find(name)) {
            let position = self.aggregate(aggregate, arguments, row, calls)?;
            let types: Vec<Type> = calls.borrow()[position].arguments.iter().map(|it| it.kind).collect();
            let before: usize = calls.borrow()[..position].iter().map(AggregateCall::width).sum();
            let kind = aggregate.types(&types).first().copied().unwrap_or(Type::Dynamic);
            return Ok(Bound { kind, node: Node::Column(row.keys + before) });
        }
        if name.eq_ignore_ascii_case("pack_all") && arguments.len() <= 1 {
            let leaves_out = match arguments.first() {
                Some(leaves_out) => self.expr(leaves_out, row)?,
                None => Bound::constant(Type::Bool, Value::Bool(false)),
            };
            let mut parts = vec![leaves_out];
            for (position, field) in row.fields.iter().enumerate() {
                parts.push(Bound::constant(Type::String, Value::String(Arc::clone(&field.name))));
                parts.push(Bound::column(position, field));
            }
            return self.call_function("pack_all", parts);
        }
        if let ("column_ifexists" | "columnifexists", [column, otherwise]) =
            (name.to_ascii_lowercase().as_str(), arguments)
        {
            return self.column_if_exists(column, otherwise, row);
        }
        if let Some(kind) = window::find(name) {
            return self.window((name, kind), arguments, row);
        }
        // What looks like a literal and is none.
        if matches!(name, "datetime" | "date") && arguments.len() < 3 {
            return Err(unknown_function(name));
        }
        // What is no function at all is said before what is wrong with its arguments.
        let function = named_function(name)?;
        let mut bound =
            arguments.iter().map(|argument| self.expr(argument, row)).collect::<Result<Vec<_>, _>>()?;
        if name.eq_ignore_ascii_case("tohex") {
            if bound.len() > 2 {
                return Err(QueryError::invalid("tohex() takes 1 to 2 arguments."));
            }
            if bound.first().is_some_and(|it| it.kind == Type::Int) {
                // How wide the type is, which the value does not tell.
                bound.resize_with(2, || Bound::constant(Type::Long, Value::Long(0)));
                bound.push(Bound::constant(Type::Long, Value::Long(32)));
            }
        }
        self.call_known(name, function, bound)
    }

    /// `column_ifexists('name', otherwise)`
    fn column_if_exists(&self, column: &Expr, otherwise: &Expr, row: &Row<'_>) -> Result<Bound, QueryError> {
        let column = self.expr(column, row)?;
        let Some(name) = column.as_const().and_then(Value::as_text) else {
            return Err(QueryError::invalid(
                "column_ifexists(): the column's name must be known beforehand.",
            ));
        };
        match row.exact(name) {
            Some(position) if row.aggregates.is_none() => Ok(Bound::column(position, &row.fields[position])),
            _ => self.expr(otherwise, row),
        }
    }

    pub(crate) fn call_function(&self, name: &str, arguments: Vec<Bound>) -> Result<Bound, QueryError> {
        self.call_known(name, named_function(name)?, arguments)
    }

    fn call_known(
        &self,
        name: &str,
        function: &'static Function,
        arguments: Vec<Bound>,
    ) -> Result<Bound, QueryError> {
        self.grow()?;
        let (least, most) = function.arity();
        if arguments.len() < least || most.is_some_and(|most| arguments.len() > most) {
            let wants = match most {
                Some(most) if most == least => format!("{least}"),
                Some(most) => format!("{least} to {most}"),
                None => format!("at least {least}"),
            };
            let message = format!("{name}() takes {wants} arguments; {} were given.", arguments.len());
            return Err(QueryError::invalid(message));
        }
        let mut bound = Vec::with_capacity(arguments.len());
        for (position, argument) in arguments.into_iter().enumerate() {
            let param = function.param(position).unwrap_or(Param::Any);
            bound.push(self.argument(name, position, argument, param)?);
        }
        let kind = return_type(function, &bound);
        if matches!(function.returns, Returns::CommonFrom(_)) && kind != Type::Dynamic {
            let count = bound.len();
            let each = bound.into_iter().enumerate();
            let brought = each.map(|(position, it)| match is_value(function, position, count) {
                true => self.as_type(it, kind),
                false => it,
            });
            bound = brought.collect();
        }
        let node = Node::Call(Call(function), bound, Memo::default());
        Ok(self.folded(Bound { kind, node }))
    }

    fn argument(&self, name: &str, position: usize, bound: Bound, param: Param) -> Result<Bound, QueryError> {
        let kind = bound.kind;
        let wrong = |wanted: &str| {
            let message = format!(
                "{name}(): argument {} must be {wanted}; this is of type {}. Convert it explicitly.",
                position + 1,
                kind.name()
            );
            Err(QueryError::invalid(message))
        };
        if bound.as_const().is_some_and(Value::is_null) {
            return Ok(bound);
        }
        match param {
            Param::Any | Param::Dynamic => Ok(bound),
            Param::Text => Ok(self.text(bound)),
            Param::Bool => match kind {
                Type::Bool => Ok(bound),
                Type::Dynamic | Type::Int | Type::Long => Ok(self.as_type(bound, Type::Bool)),
                _ => wrong("true or false"),
            },
            Param::Long => match kind {
                kind if kind.is_whole() => Ok(bound),
                Type::Dynamic | Type::Bool | Type::Real | Type::Decimal => {
                    Ok(self.as_type(bound, Type::Long))
                }
                _ => wrong("a whole number"),
            },
            Param::Real => match kind {
                Type::Real | Type::Decimal => Ok(bound),
                kind if kind.is_number() || kind == Type::Dynamic || kind == Type::Bool => {
                    Ok(self.as_type(bound, Type::Real))
                }
                _ => wrong("a number"),
            },
            Param::Number => match kind {
                kind if kind.is_number() || kind == Type::Dynamic => Ok(bound),
                Type::Bool => Ok(self.as_type(bound, Type::Long)),
                _ => wrong("a number"),
            },
            Param::DateTime => match kind {
                Type::DateTime => Ok(bound),
                Type::Dynamic | Type::String => Ok(self.as_type(bound, Type::DateTime)),
                _ => wrong("a datetime"),
            },
            Param::TimeSpan => match kind {
                Type::TimeSpan => Ok(bound),
                Type::Dynamic | Type::String => Ok(self.as_type(bound, Type::TimeSpan)),
                _ => wrong("a timespan"),
            },
        }
    }
}

fn named_function(name: &str) -> Result<&'static Function, QueryError> {
    function::find(name).ok_or_else(|| match aggregate::find(name) {
        Some(_) => QueryError::invalid(format!("'{name}' is an aggregate: it is for summarize.")),
        None => unknown_function(name),
    })
}

fn return_type(function: &Function, arguments: &[Bound]) -> Type {
    let types: Vec<Type> = arguments.iter().map(|argument| argument.kind).collect();
    match function.returns {
        Returns::Is(kind) => kind,
        Returns::First => types.first().copied().unwrap_or(Type::Dynamic),
        Returns::By(tell) => tell(&types),
        Returns::Named(position) => match arguments.get(position) {
            None => Type::String,
            Some(name) => {
                let name = name.as_const().and_then(Value::as_text);
                name.and_then(Type::of).unwrap_or(Type::Dynamic)
            }
        },
        Returns::CommonFrom(from) => {
            let values = arguments.iter().enumerate().filter(|(position, it)| {
                is_value(function, *position, arguments.len()) && !it.as_const().is_some_and(Value::is_null)
            });
            let common = values.map(|(_, it)| it.kind).reduce(common_type);
            common.or(types.get(from).copied()).unwrap_or(Type::Dynamic)
        }
    }
}

/// True if the argument in this position is one of those that the function may return. In `case` conditions
/// and values take turns, and the last is a value.
fn is_value(function: &Function, position: usize, count: usize) -> bool {
    let Returns::CommonFrom(from) = function.returns else { return false };
    let is_case = function.names.contains(&"case");
    position >= from && (!is_case || position + 1 == count || position % 2 == 1)
}

/// The type that values of both can be brought to.
pub(crate) fn common_type(one: Type, other: Type) -> Type {
    match (one, other) {
        (one, other) if one == other => one,
        (one, other) if one.is_whole() && other.is_whole() => Type::Long,
        (one, other) if one.is_number() && other.is_number() => Type::Real,
        (one, other) if one.is_text() && other.is_text() => Type::String,
        _ => Type::Dynamic,
    }
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Long(_) => Type::Long,
        Value::Real(_) => Type::Real,
        Value::String(_) => Type::String,
        Value::DateTime(_) => Type::DateTime,
        Value::TimeSpan(_) => Type::TimeSpan,
        _ => Type::Dynamic,
    }
}

fn truth(node: Node) -> Bound {
    Bound { kind: Type::Bool, node }
}

fn ignores_case(bound: &Bound, row: &Row<'_>) -> bool {
    match bound.node {
        Node::Column(position) => row.fields.get(position).is_some_and(|field| field.ignores_case),
        _ => false,
    }
}

fn is_column(expr: &Expr, row: &Row<'_>) -> bool {
    matches!(expr, Expr::Name(name) if row.position(name).is_some())
}
