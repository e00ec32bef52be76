//! `summarize` and `distinct`.

use std::cell::RefCell;

use super::name::{Names, natural};
use super::{Binder, Row, Scope};
use crate::aggregate::{Aggregate, Kind};
use crate::error::QueryError;
use crate::plan::{AggregateCall, Bound, Field, Node, Op, Plan};
use crate::syntax::{Expr, Named};
use crate::value::{Type, Value};

impl AggregateCall {
    /// How many columns it makes.
    pub(crate) fn width(&self) -> usize {
        self.types().len()
    }

    /// The types of its columns.
    pub(crate) fn types(&self) -> Vec<Type> {
        let kinds: Vec<Type> = self.arguments.iter().map(|argument| argument.kind).collect();
        self.aggregate.types(&kinds)
    }
}

impl Binder<'_, '_> {
    pub(super) fn summarize(
        &self,
        input: Plan,
        aggregates: &[Named],
        by: &[Named],
        scope: &Scope,
    ) -> Result<Plan, QueryError> {
        let row = Row::of(&input.fields, scope);
        let mut names = Names::default();
        let (mut keys, mut key_fields) = (Vec::new(), Vec::new());
        for named in by {
            let bound = self.expr(&named.expr, &row)?;
            let name = match named.names.first() {
                Some(name) => names.unique(name),
                None => names.of(&named.expr),
            };
            let mut field = Field::new(name, bound.kind);
            if let Node::Column(position) = bound.node {
                field.ignores_case = input.fields[position].ignores_case;
            }
            key_fields.push(field);
            keys.push(bound);
        }
        let calls = RefCell::new(Vec::new());
        let mut made: Vec<(Option<String>, Bound)> = Vec::new();
        for named in aggregates {
            self.aggregated(named, &row, &key_fields, &calls, &mut made)?;
        }
        let calls = calls.into_inner();
        let mut fields = key_fields.clone();
        for call in &calls {
            fields.extend(call.types().into_iter().map(|kind| Field::new("", kind)));
        }
        let grouped = Plan { fields, op: Op::Summarize { input: Box::new(input), keys, aggregates: calls } };
        let mut exprs: Vec<Bound> =
            key_fields.iter().enumerate().map(|(position, field)| Bound::column(position, field)).collect();
        let mut fields = key_fields;
        for (name, bound) in made {
            let name = match name {
                Some(name) => names.unique(&name),
                None => names.numbered(),
            };
            fields.push(Field::new(name, bound.kind));
            exprs.push(bound);
        }
        Ok(Plan { fields, op: Op::Project(Box::new(grouped), exprs) })
    }

    /// The columns of one aggregate, or of an expression over aggregates.
    fn aggregated(
        &self,
        named: &Named,
        row: &Row<'_>,
        keys: &[Field],
        calls: &RefCell<Vec<AggregateCall>>,
        made: &mut Vec<(Option<String>, Bound)>,
    ) -> Result<(), QueryError> {
        if let Expr::Call(name, arguments) = &named.expr
            && let Some(aggregate) = crate::aggregate::find(name)
        {
            let names = self.names_of(aggregate, arguments, row, keys);
            let position = self.aggregate_over(aggregate, arguments, row, calls, keys)?;
            let before: usize = calls.borrow()[..position].iter().map(AggregateCall::width).sum();
            let types = calls.borrow()[position].types();
            for (at, kind) in types.into_iter().enumerate() {
                let name = match (named.names.get(at), names.get(at)) {
                    (Some(name), _) => name.clone(),
                    (None, Some(name)) => name.clone(),
                    (None, None) => natural(&named.expr).unwrap_or_default(),
                };
                let node = Node::Column(keys.len() + before + at);
                made.push((Some(name), Bound { kind, node }));
            }
            return Ok(());
        }
        let bound = self.expr(&named.expr, &row.aggregating(calls, keys.len()))?;
        let name = named.names.first().cloned().or_else(|| natural(&named.expr));
        made.push((name, bound));
        Ok(())
    }

    /// The columns' own names.
    fn names_of(
        &self,
        aggregate: &Aggregate,
        arguments: &[Expr],
        row: &Row<'_>,
        keys: &[Field],
    ) -> Vec<String> {
        let arguments = Self::spread(aggregate, arguments, row, keys);
        let part = |expr: &Expr| natural(expr).unwrap_or_default();
        let prefixed = |name: &str| match aggregate.prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}_{name}"),
        };
        match aggregate.kind {
            Kind::ArgMin | Kind::ArgMax | Kind::Any if !aggregate.has_condition => {
                let parts = arguments.iter().enumerate().map(|(at, expr)| match (at, aggregate.kind) {
                    (0, _) | (_, Kind::Any) => prefixed(&part(expr)),
                    _ => part(expr),
                });
                parts.collect()
            }
            Kind::Percentile | Kind::WeightedPercentile => {
                let of = arguments.first().map(part).unwrap_or_default();
                let percent = |expr: &Expr| match expr {
                    Expr::Literal(_, value) => value.to_text().replace('.', "_"),
                    other => part(other),
                };
                let percentages = arguments.iter().skip(aggregate.kind.before_percentages());
                percentages.map(|expr| format!("percentile_{of}_{}", percent(expr))).collect()
            }
            // `count()` makes `count_`.
            _ => vec![prefixed(&arguments.first().map(part).unwrap_or_default())],
        }
    }

    /// `*` as the columns that it stands for: all but the keys and what is there already.
    fn spread(aggregate: &Aggregate, arguments: &[Expr], row: &Row<'_>, keys: &[Field]) -> Vec<Expr> {
        let takes_all = matches!(aggregate.kind, Kind::ArgMin | Kind::ArgMax | Kind::Any);
        let mut spread = Vec::new();
        for argument in arguments {
            if *argument != Expr::Star || !takes_all {
                spread.push(argument.clone());
                continue;
            }
            for field in row.fields() {
                let expr = Expr::Name(field.name.to_string());
                let is_key = keys.iter().any(|key| key.name == field.name);
                if !is_key && !spread.contains(&expr) {
                    spread.push(expr);
                }
            }
        }
        spread
    }

    fn aggregate_over(
        &self,
        aggregate: &'static Aggregate,
        arguments: &[Expr],
        row: &Row<'_>,
        calls: &RefCell<Vec<AggregateCall>>,
        keys: &[Field],
    ) -> Result<usize, QueryError> {
        let arguments = Self::spread(aggregate, arguments, row, keys);
        self.aggregate(aggregate, &arguments, row, calls)
    }

    /// Registers an aggregate; the answer is its place.
    pub(super) fn aggregate(
        &self,
        aggregate: &'static Aggregate,
        arguments: &[Expr],
        row: &Row<'_>,
        calls: &RefCell<Vec<AggregateCall>>,
    ) -> Result<usize, QueryError> {
        let name = aggregate.names[0];
        let (least, most) = aggregate.arity;
        let is_row = matches!(aggregate.kind, Kind::ArgMin | Kind::ArgMax | Kind::Any);
        if arguments.len() < least || (arguments.len() > most && !is_row) {
            let wants = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            let message = format!("{name}() takes {wants} arguments; {} were given.", arguments.len());
            return Err(QueryError::invalid(message));
        }
        let condition = match aggregate.kind {
            Kind::Count => 0,
            Kind::Covariance | Kind::CovarianceOfAll => 2,
            _ => 1,
        };
        let row = row.without_aggregates();
        let mut bound = Vec::with_capacity(arguments.len());
        for (position, argument) in arguments.iter().enumerate() {
            // `count(*)` counts rows.
            if *argument == Expr::Star && aggregate.kind == Kind::Count {
                continue;
            }
            let is_condition = aggregate.has_condition && position == condition;
            let it =
                if is_condition { self.predicate(argument, &row, name)? } else { self.expr(argument, &row)? };
            bound.push(it);
        }
        // The condition goes last; `make_set_if(x, condition, most)` has it in the middle.
        if aggregate.has_condition && condition == 1 && bound.len() == 3 {
            bound.swap(1, 2);
        }
        if let Some(first) = bound.first_mut() {
            let is_numeric = matches!(
                aggregate.kind,
                Kind::Sum
                    | Kind::Average
                    | Kind::StandardDeviation
                    | Kind::StandardDeviationOfAll
                    | Kind::Variance
                    | Kind::VarianceOfAll
                    | Kind::Covariance
                    | Kind::CovarianceOfAll
                    | Kind::BitAnd
                    | Kind::BitOr
                    | Kind::BitXor
            );
            let kind = first.kind;
            let fits = kind.is_number() || matches!(kind, Type::Dynamic | Type::Bool | Type::TimeSpan);
            if is_numeric && !fits {
                let message = format!(
                    "{name}() needs numbers; this is of type {}. Convert it explicitly.",
                    kind.name()
                );
                return Err(QueryError::invalid(message));
            }
            if is_numeric && kind == Type::Dynamic {
                *first = self.as_type(first.clone(), Type::Real);
            }
        }
        if bound.iter().skip(aggregate.kind.before_percentages()).any(|it| it.as_const().is_none()) {
            return Err(QueryError::invalid(format!("{name}(): percentages must be known beforehand.")));
        }
        let mut calls = calls.borrow_mut();
        calls.push(AggregateCall { aggregate, arguments: bound });
        Ok(calls.len() - 1)
    }

    pub(super) fn distinct(
        &self,
        input: Plan,
        list: Option<&[Named]>,
        scope: &Scope,
    ) -> Result<Plan, QueryError> {
        let row = Row::of(&input.fields, scope);
        let (mut keys, mut fields) = (Vec::new(), Vec::new());
        match list {
            None => {
                fields = input.fields.clone();
                keys = fields
                    .iter()
                    .enumerate()
                    .map(|(position, field)| Bound::column(position, field))
                    .collect();
            }
            Some(list) => {
                let mut names = Names::default();
                for named in list {
                    let bound = self.expr(&named.expr, &row)?;
                    let name = match named.names.first() {
                        Some(name) => names.unique(name),
                        None => names.of(&named.expr),
                    };
                    fields.push(Field::new(name, bound.kind));
                    keys.push(bound);
                }
            }
        }
        Ok(Plan { fields, op: Op::Summarize { input: Box::new(input), keys, aggregates: Vec::new() } })
    }

    pub(super) fn counted(&self, input: Plan, name: Option<&str>) -> Plan {
        let aggregate = &crate::aggregate::AGGREGATES[0];
        let field = Field::new(name.unwrap_or("Count"), Type::Long);
        let calls = vec![AggregateCall { aggregate, arguments: Vec::new() }];
        Plan {
            fields: vec![field],
            op: Op::Summarize { input: Box::new(input), keys: Vec::new(), aggregates: calls },
        }
    }
}

/// The constants that an aggregate was given besides its first argument.
pub(crate) fn constants(call: &AggregateCall) -> Vec<Value> {
    call.arguments
        .iter()
        .skip(1)
        .map(|argument| argument.as_const().cloned().unwrap_or(Value::Null))
        .collect()
}
