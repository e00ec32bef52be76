//! Functions of a row and the rows beside it: `row_number`, `prev`, `next`, `row_cumsum`, `row_rank_dense`,
//! `row_rank_min`. What each comes to is a column behind those of its operator's input.

use std::cell::RefCell;

use super::{Binder, Row, Scope};
use crate::error::QueryError;
use crate::plan::{Bound, Node, Op, Plan, WindowCall, WindowKind};
use crate::syntax::Expr;
use crate::value::{Type, Value};

/// Where an operator's calls of such functions go.
pub(crate) struct Windows {
    /// How many columns stand before theirs; `None` if the rows are in no order.
    base: Option<usize>,
    calls: RefCell<Vec<WindowCall>>,
}

impl Windows {
    pub(super) fn over(input: &Plan) -> Self {
        Self { base: is_serialized(input).then_some(input.fields.len()), calls: RefCell::default() }
    }

    /// The input with the columns of the calls behind its own.
    pub(super) fn apply(self, input: Plan) -> Plan {
        let calls = self.calls.into_inner();
        if calls.is_empty() {
            return input;
        }
        let mut fields = input.fields.clone();
        fields.extend(calls.iter().map(|call| crate::plan::Field::new("", call.returns)));
        Plan { fields, op: Op::Window(Box::new(input), calls) }
    }
}

/// Rows that `serialize`, `sort` or `top` put in an order, and nothing since took out of it.
fn is_serialized(plan: &Plan) -> bool {
    match &plan.op {
        Op::Sort { .. } | Op::Window(..) => true,
        Op::Filter(input, _) | Op::Project(input, _) | Op::Take(input, _) | Op::Expand { input, .. } => {
            is_serialized(input)
        }
        _ => false,
    }
}

/// The rows in the order in which they come.
pub(super) fn serialized(input: Plan) -> Plan {
    Plan { fields: input.fields.clone(), op: Op::Window(Box::new(input), Vec::new()) }
}

pub(super) fn find(name: &str) -> Option<WindowKind> {
    Some(match name.to_ascii_lowercase().as_str() {
        "row_number" => WindowKind::Number,
        "row_cumsum" => WindowKind::Sum,
        "row_rank_dense" => WindowKind::DenseRank,
        "row_rank_min" => WindowKind::MinRank,
        "prev" => WindowKind::Previous,
        "next" => WindowKind::Next,
        _ => return None,
    })
}

impl Binder<'_, '_> {
    pub(super) fn window(
        &self,
        (name, kind): (&str, WindowKind),
        arguments: &[Expr],
        row: &Row<'_>,
    ) -> Result<Bound, QueryError> {
        let wrong = |message: &str| Err(QueryError::invalid(format!("{name}(): {message}")));
        let Some(windows) = row.windows() else {
            return wrong(
                "it looks at the rows beside a row: use it in extend, project, serialize or where.",
            );
        };
        let Some(base) = windows.base else {
            return wrong("the rows are in no order. Put 'serialize' or 'sort by' before it.");
        };
        let (least, most) = match kind {
            WindowKind::Number => (0, 2),
            WindowKind::Sum | WindowKind::DenseRank | WindowKind::MinRank => (1, 2),
            WindowKind::Previous | WindowKind::Next => (1, 3),
        };
        if !(least..=most).contains(&arguments.len()) {
            return wrong(&format!("it takes {least} to {most} arguments; {} were given.", arguments.len()));
        }
        let mut bound = Vec::with_capacity(arguments.len());
        for argument in arguments {
            bound.push(self.expr(argument, row)?);
        }
        let restarts = usize::from(kind != WindowKind::Previous && kind != WindowKind::Next);
        if restarts == 1 && bound.len() == 2 && !matches!(bound[1].kind, Type::Bool | Type::Dynamic) {
            return wrong("its second argument says whether to begin again, and must be true or false.");
        }
        let is_whole = |bound: &Bound| bound.kind.is_whole();
        let returns = match kind {
            WindowKind::Number if bound.first().is_some_and(|it| !is_whole(it)) => {
                return wrong("its first argument must be a whole number.");
            }
            WindowKind::Number | WindowKind::DenseRank | WindowKind::MinRank => Type::Long,
            WindowKind::Sum => match bound[0].kind {
                kind if kind.is_whole() => Type::Long,
                kind if kind.is_number() => Type::Real,
                _ => return wrong("its first argument must be a number. Convert it explicitly."),
            },
            WindowKind::Previous | WindowKind::Next => {
                if bound.get(1).is_some_and(|it| !is_whole(it)) {
                    return wrong("its second argument must be a whole number.");
                }
                let returns = bound[0].kind;
                if let Some(otherwise) = bound.pop_if(|_| arguments.len() == 3) {
                    bound.push(self.as_type(otherwise, returns));
                }
                returns
            }
        };
        let mut calls = windows.calls.borrow_mut();
        calls.push(WindowCall { kind, arguments: bound, returns });
        Ok(Bound { kind: returns, node: Node::Column(base + calls.len() - 1) })
    }

    /// Rows of which a predicate is true; it may look at the rows beside each.
    pub(super) fn chosen(
        &self,
        input: Plan,
        scope: &Scope,
        predicate: impl FnOnce(&Row<'_>) -> Result<Bound, QueryError>,
    ) -> Result<Plan, QueryError> {
        let windows = Windows::over(&input);
        let predicate = predicate(&Row::of(&input.fields, scope).with_windows(&windows))?;
        let fields = input.fields.clone();
        let input = windows.apply(input);
        let all = fields.iter().enumerate().map(|(at, field)| Bound::column(at, field)).collect();
        let has_more = input.fields.len() > fields.len();
        let kept = Plan { fields: input.fields.clone(), op: Op::Filter(Box::new(input), predicate) };
        Ok(if has_more { Plan { fields, op: Op::Project(Box::new(kept), all) } } else { kept })
    }
}

/// What stands in a column where the rows end.
pub(crate) fn nothing(call: &WindowCall) -> Value {
    call.returns.nothing()
}
