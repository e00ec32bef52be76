//! The syntax tree to a plan: names become positions, types are told, what is wrong is said.

mod expr;
mod name;
mod step;
mod summarize;
mod window;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Code, QueryError};
use crate::eval::Context;
use crate::plan::{Bound, Field, Op, Plan};
use crate::source::Source as Tables;
use crate::syntax::{Argument, Expr, Lambda, Let, LetValue, Named, Pipeline, Query, Source};
use crate::value::{Type, Value};

pub(crate) use expr::Row;
pub(crate) use summarize::constants;
pub(crate) use window::nothing;

/// Makes the plan of a query.
///
/// # Errors
/// [`QueryError`] if a name is not known, types do not fit, or the query is too large once its names are
/// put in.
pub(crate) fn bind(query: &Query, tables: &dyn Tables, context: &Context<'_>) -> Result<Plan, QueryError> {
    let binder = Binder { tables, context, nodes: Cell::new(0), depth: Cell::new(0) };
    let scope = binder.lets(&query.lets, Scope::default())?;
    binder.pipeline(&query.body, &scope)
}

pub(crate) struct Binder<'a, 'c> {
    tables: &'a dyn Tables,
    pub(crate) context: &'a Context<'c>,
    nodes: Cell<usize>,
    depth: Cell<usize>,
}

/// What `let` has given a name.
#[derive(Clone, Default)]
pub(crate) struct Scope(Option<Rc<Entry>>);

struct Entry {
    name: String,
    value: Given,
    outer: Scope,
}

#[derive(Clone)]
enum Given {
    Scalar(Bound),
    Table(Rc<Pipeline>, Scope),
    Lambda(Rc<Lambda>, Scope),
}

impl Scope {
    fn with(&self, name: &str, value: Given) -> Self {
        Self(Some(Rc::new(Entry { name: name.to_owned(), value, outer: self.clone() })))
    }

    fn find(&self, name: &str) -> Option<Given> {
        let mut scope = self;
        while let Some(entry) = &scope.0 {
            if entry.name == name {
                return Some(entry.value.clone());
            }
            scope = &entry.outer;
        }
        None
    }
}

impl Binder<'_, '_> {
    fn lets(&self, lets: &[Let], mut scope: Scope) -> Result<Scope, QueryError> {
        for it in lets {
            let value = self.given(&it.value, &scope)?;
            scope = scope.with(&it.name, value);
        }
        Ok(scope)
    }

    fn given(&self, value: &LetValue, scope: &Scope) -> Result<Given, QueryError> {
        Ok(match value {
            LetValue::Table(rows) => Given::Table(Rc::new(rows.clone()), scope.clone()),
            LetValue::Lambda(lambda) => Given::Lambda(Rc::new(lambda.clone()), scope.clone()),
            LetValue::Scalar(expr) => match self.as_rows(expr, scope) {
                Some(rows) => Given::Table(Rc::new(rows), scope.clone()),
                None => match expr {
                    Expr::Name(name) if matches!(scope.find(name), Some(Given::Lambda(..))) => {
                        return scope.find(name).ok_or_else(|| unknown_name(name));
                    }
                    expr => Given::Scalar(self.scalar(expr, scope)?),
                },
            },
        })
    }

    /// An expression that names rows, as rows.
    fn as_rows(&self, expr: &Expr, scope: &Scope) -> Option<Pipeline> {
        let source = match expr {
            Expr::Name(name) => match scope.find(name) {
                Some(Given::Table(..)) => Source::Named(name.clone()),
                Some(_) => return None,
                None => {
                    self.tables.table(name)?;
                    Source::Named(name.clone())
                }
            },
            Expr::Call(name, arguments) => match scope.find(name) {
                Some(Given::Lambda(lambda, within)) if self.makes_rows(&lambda, &within) => {
                    Source::Call(name.clone(), arguments.iter().cloned().map(Argument::Scalar).collect())
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(source.into())
    }

    fn makes_rows(&self, lambda: &Lambda, scope: &Scope) -> bool {
        match &*lambda.body {
            LetValue::Table(_) => true,
            LetValue::Lambda(_) => false,
            LetValue::Scalar(Expr::Name(name)) => {
                let of_parameter = lambda.parameters.iter().find(|parameter| parameter.name == *name);
                match of_parameter {
                    Some(parameter) => parameter.kind.is_none(),
                    None => {
                        let local = lambda.lets.iter().rev().find(|it| it.name == *name);
                        match local {
                            Some(local) => matches!(local.value, LetValue::Table(_)),
                            None => self.as_rows(&Expr::Name(name.clone()), scope).is_some(),
                        }
                    }
                }
            }
            LetValue::Scalar(expr) => self.as_rows(expr, scope).is_some(),
        }
    }

    /// A scalar without rows around it: its value is known now.
    fn scalar(&self, expr: &Expr, scope: &Scope) -> Result<Bound, QueryError> {
        let bound = self.expr(expr, &Row::none(scope))?;
        let value = bound.eval_const(self.context);
        self.context.check()?;
        Ok(Bound::constant(bound.kind, value))
    }

    /// A whole number that is no less than nothing, as `take` and `top` want it.
    fn count(&self, expr: &Expr, scope: &Scope) -> Result<usize, QueryError> {
        let bound = self.scalar(expr, scope)?;
        let number = match bound.as_const() {
            Some(Value::Long(number)) => *number,
            Some(value) => match crate::function::convert(value, Type::Long) {
                Value::Long(number) => number,
                _ => return Err(QueryError::invalid("A number of rows must be a whole number.")),
            },
            None => return Err(QueryError::invalid("A number of rows must be known beforehand.")),
        };
        Ok(usize::try_from(number.max(0)).unwrap_or(usize::MAX))
    }

    fn pipeline(&self, pipeline: &Pipeline, scope: &Scope) -> Result<Plan, QueryError> {
        self.deeper(|| {
            let mut plan = self.source(&pipeline.source, scope)?;
            for step in &pipeline.steps {
                plan = self.step(plan, step, scope)?;
                if plan.fields.len() > COLUMNS_MAX {
                    let message =
                        format!("Rows may have {COLUMNS_MAX} columns. Project fewer before joining.");
                    return Err(QueryError::invalid(message));
                }
            }
            Ok(plan)
        })
    }

    fn source(&self, source: &Source, scope: &Scope) -> Result<Plan, QueryError> {
        self.grow()?;
        match source {
            Source::Default => self.table(DEFAULT_TABLE),
            Source::Named(name) => match scope.find(name) {
                Some(Given::Table(rows, within)) => self.pipeline(&rows, &within),
                Some(Given::Lambda(lambda, within)) => self.call_rows(name, &lambda, &within, &[], scope),
                Some(Given::Scalar(_)) => {
                    Err(QueryError::invalid(format!("'{name}' is a scalar, and rows are wanted here.")))
                }
                None => self.table(name),
            },
            Source::Call(name, arguments) => match scope.find(name) {
                Some(Given::Lambda(lambda, within)) => {
                    self.call_rows(name, &lambda, &within, arguments, scope)
                }
                _ => Err(unknown_function(name)),
            },
            Source::Nested(inner) => self.pipeline(inner, scope),
            Source::Union(union) => self.union(None, union, scope),
            Source::Print(list) => self.print(list, scope),
            Source::Range { name, from, to, step } => self.range(name, [from, to, step], scope),
            Source::Rows { columns, cells } => self.rows(columns, cells, scope),
            Source::Saved(id) => {
                let text = self.tables.saved_query(id).ok_or_else(|| {
                    QueryError::because(
                        Code::DisallowedLogicalTableName,
                        format!("There is no saved query '{id}' that you may read."),
                    )
                })?;
                let query = crate::parse::parse(&text)?;
                self.deeper(|| {
                    let scope = self.lets(&query.lets, Scope::default())?;
                    self.pipeline(&query.body, &scope)
                })
            }
        }
    }

    fn table(&self, name: &str) -> Result<Plan, QueryError> {
        let Some(table) = self.tables.table(name) else {
            let message = format!("Table {name} is invalid, unsupported or disallowed.");
            return Err(QueryError::because(Code::DisallowedLogicalTableName, message));
        };
        let fields = table.columns().iter().map(|column| Field {
            name: Arc::clone(&column.name),
            kind: column.kind,
            ignores_case: column.ignores_case,
        });
        let fields: Vec<Field> = fields.collect();
        let needed = vec![true; fields.len()];
        Ok(Plan { fields, op: Op::Scan { table, needed } })
    }

    fn call_rows(
        &self,
        name: &str,
        lambda: &Lambda,
        within: &Scope,
        arguments: &[Argument],
        caller: &Scope,
    ) -> Result<Plan, QueryError> {
        self.deeper(|| {
            let mut scope = within.clone();
            let given_as = |argument: &Argument| match argument {
                Argument::Scalar(Expr::Named(name, expr)) => {
                    (Some(name.clone()), Argument::Scalar((**expr).clone()))
                }
                other => (None, other.clone()),
            };
            let arranged = arranged(name, lambda, arguments.iter().map(given_as))?;
            for (given, parameter) in arranged.into_iter().zip(&lambda.parameters) {
                let given = match (&given, parameter.kind) {
                    (Some(Argument::Table(rows)), None) => {
                        Given::Table(Rc::new(rows.clone()), caller.clone())
                    }
                    (Some(Argument::Scalar(expr)), None) => {
                        let rows =
                            self.as_rows(expr, caller).ok_or_else(|| rows_wanted(name, &parameter.name))?;
                        Given::Table(Rc::new(rows), caller.clone())
                    }
                    (Some(Argument::Scalar(expr)), Some(kind)) => {
                        Given::Scalar(self.as_type(self.scalar(expr, caller)?, kind))
                    }
                    (Some(Argument::Table(_)), Some(_)) => return Err(arguments_of(name, lambda)),
                    (None, _) => match &parameter.default {
                        Some(default) => Given::Scalar(self.scalar(default, within)?),
                        None => return Err(arguments_of(name, lambda)),
                    },
                };
                scope = scope.with(&parameter.name, given);
            }
            let scope = self.lets(&lambda.lets, scope)?;
            match &*lambda.body {
                LetValue::Table(rows) => self.pipeline(rows, &scope),
                LetValue::Scalar(expr) => match self.as_rows(expr, &scope) {
                    Some(rows) => self.pipeline(&rows, &scope),
                    None => Err(QueryError::invalid(format!(
                        "'{name}' makes a scalar, and rows are wanted here."
                    ))),
                },
                LetValue::Lambda(_) => Err(QueryError::invalid(format!("'{name}' makes no rows."))),
            }
        })
    }

    /// A lambda's expression with the arguments in the places of its parameters.
    fn call_lambda(
        &self,
        name: &str,
        (lambda, within): (&Rc<Lambda>, &Scope),
        arguments: &[Expr],
        row: &Row<'_>,
    ) -> Result<Bound, QueryError> {
        let mut scope = within.clone();
        let labelled = arguments.iter().map(|argument| match argument {
            Expr::Named(label, expr) => (Some(label.clone()), expr.as_ref()),
            other => (None, other),
        });
        let arranged = arranged(name, lambda, labelled)?;
        for (given, parameter) in arranged.into_iter().zip(&lambda.parameters) {
            let value = match (given, &parameter.default) {
                (Some(argument), _) => self.expr(argument, row)?,
                (None, Some(default)) => self.scalar(default, within)?,
                (None, None) => return Err(arguments_of(name, lambda)),
            };
            let value = parameter.kind.map_or(value.clone(), |kind| self.as_type(value, kind));
            scope = scope.with(&parameter.name, Given::Scalar(value));
        }
        let scope = self.lets(&lambda.lets, scope)?;
        match &*lambda.body {
            LetValue::Scalar(expr) => self.expr(expr, &Row::none(&scope)),
            _ => Err(QueryError::invalid(format!("'{name}' makes rows, and a scalar is wanted here."))),
        }
    }

    fn print(&self, list: &[Named], scope: &Scope) -> Result<Plan, QueryError> {
        let (mut fields, mut row) = (Vec::new(), Vec::new());
        for (position, named) in list.iter().enumerate() {
            let bound = self.scalar(&named.expr, scope)?;
            let name = match named.names.first() {
                Some(name) => name.clone(),
                None => format!("print_{position}"),
            };
            fields.push(Field::new(name, bound.kind));
            row.push(bound.as_const().cloned().unwrap_or(Value::Null));
        }
        name::make_unique(&mut fields);
        Ok(Plan { fields, op: Op::Rows(Arc::new(vec![row])) })
    }

    fn range(&self, name: &str, [from, to, step]: [&Expr; 3], scope: &Scope) -> Result<Plan, QueryError> {
        let (from, to, step) =
            (self.scalar(from, scope)?, self.scalar(to, scope)?, self.scalar(step, scope)?);
        let wrong = || {
            QueryError::invalid("range: 'from', 'to' and 'step' must be numbers, or times and a timespan.")
        };
        let value = |bound: &Bound| bound.as_const().cloned().ok_or_else(wrong);
        let (first, last, by) = (value(&from)?, value(&to)?, value(&step)?);
        let count = match (&first, &last, &by) {
            (Value::Long(first), Value::Long(last), Value::Long(by))
            | (Value::DateTime(first), Value::DateTime(last), Value::TimeSpan(by))
            | (Value::TimeSpan(first), Value::TimeSpan(last), Value::TimeSpan(by)) => {
                let distance = i128::from(*last) - i128::from(*first);
                let by = i128::from(*by);
                if by == 0 {
                    return Err(QueryError::invalid("range: the step must not be nothing."));
                }
                if distance.signum() * by.signum() < 0 {
                    0
                } else {
                    u64::try_from(distance / by + 1).unwrap_or(u64::MAX)
                }
            }
            (first, last, by) => {
                let (Some(first), Some(last), Some(by)) =
                    (first.as_number(), last.as_number(), by.as_number())
                else {
                    return Err(wrong());
                };
                let count = (last - first) / by;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked to be within range"
                )]
                if count.is_nan() || count < 0.0 { 0 } else { count.min(1e18).floor() as u64 + 1 }
            }
        };
        let kind = if from.kind.is_whole() && step.kind.is_whole() { Type::Long } else { from.kind };
        let field =
            Field::new(name, if kind.is_whole() && !step.kind.is_whole() { Type::Real } else { kind });
        Ok(Plan { fields: vec![field], op: Op::Range { from: first, step: by, count } })
    }

    fn rows(&self, columns: &[(String, Type)], cells: &[Expr], scope: &Scope) -> Result<Plan, QueryError> {
        let fields = columns.iter().map(|(name, kind)| Field::new(name.as_str(), *kind)).collect();
        let mut rows = Vec::with_capacity(cells.len() / columns.len().max(1));
        for cells in cells.chunks(columns.len().max(1)) {
            let mut row = Vec::with_capacity(cells.len());
            for (cell, (_, kind)) in cells.iter().zip(columns) {
                let bound = self.scalar(cell, scope)?;
                row.push(self.as_type(bound, *kind).eval_const(self.context));
            }
            rows.push(row);
        }
        Ok(Plan { fields, op: Op::Rows(Arc::new(rows)) })
    }

    /// Counts one more thing in the plan.
    fn grow(&self) -> Result<(), QueryError> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > NODES_MAX {
            return Err(QueryError::invalid(
                "The query is too large once its let statements are expanded. Simplify it.",
            ));
        }
        Ok(())
    }

    fn deeper<T>(&self, work: impl FnOnce() -> Result<T, QueryError>) -> Result<T, QueryError> {
        if self.depth.get() >= DEPTH_MAX {
            return Err(QueryError::invalid(format!("The query is nested deeper than {DEPTH_MAX} levels.")));
        }
        self.depth.set(self.depth.get() + 1);
        let outcome = work();
        self.depth.set(self.depth.get() - 1);
        outcome
    }
}

fn unknown_function(name: &str) -> QueryError {
    QueryError::because(Code::UnknownFunction, format!("Unknown function: '{name}'."))
}

fn unknown_name(name: &str) -> QueryError {
    let message = format!("Failed to resolve the column or scalar expression named '{name}'.");
    QueryError::because(Code::NoValidColumns, message)
}

/// What is given for each of a function's parameters: in their order, until one is given by its name.
fn arranged<T>(
    name: &str,
    lambda: &Lambda,
    arguments: impl Iterator<Item = (Option<String>, T)>,
) -> Result<Vec<Option<T>>, QueryError> {
    let mut given: Vec<Option<T>> = lambda.parameters.iter().map(|_| None).collect();
    let mut are_named = false;
    for (position, (label, argument)) in arguments.enumerate() {
        are_named |= label.is_some();
        let place = match &label {
            Some(label) => lambda.parameters.iter().position(|parameter| parameter.name == *label),
            None if are_named => None,
            None => Some(position),
        };
        let slot = place.and_then(|place| given.get_mut(place)).filter(|slot| slot.is_none());
        *slot.ok_or_else(|| arguments_of(name, lambda))? = Some(argument);
    }
    Ok(given)
}

fn arguments_of(name: &str, lambda: &Lambda) -> QueryError {
    QueryError::invalid(format!(
        "'{name}' takes {} arguments of the types that it declares.",
        lambda.parameters.len()
    ))
}

fn rows_wanted(name: &str, parameter: &str) -> QueryError {
    QueryError::invalid(format!("'{name}' needs rows for '{parameter}'."))
}

const DEFAULT_TABLE: &str = "resources";
/// Expressions and operators in one plan.
const NODES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 200;
const COLUMNS_MAX: usize = 2000;
