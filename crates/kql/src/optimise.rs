//! Plans that do less for the same answer.

use crate::plan::{Bound, Expansion, Field, Op, Plan, Side};
use crate::value::{Type, Value};

/// The plan with filters split at `and`, an order that is cut short told so, and columns that nobody reads
/// left out.
pub(crate) fn optimised(plan: Plan) -> Plan {
    let mut plan = rewritten(plan);
    let all = vec![true; plan.fields.len()];
    prune(&mut plan, &all);
    plan
}

fn rewritten(plan: Plan) -> Plan {
    let Plan { fields, op } = plan;
    let inner = |plan: Box<Plan>| Box::new(rewritten(*plan));
    let op = match op {
        Op::Filter(input, predicate) => return split(rewritten(*input), predicate),
        Op::Take(input, count) => match rewritten(*input) {
            Plan { op: Op::Sort { input, keys, limit }, .. } => {
                Op::Sort { input, keys, limit: Some(limit.map_or(count, |limit| limit.min(count))) }
            }
            input => Op::Take(Box::new(input), count),
        },
        Op::Project(input, exprs) => Op::Project(inner(input), exprs),
        Op::Summarize { input, keys, aggregates } => Op::Summarize { input: inner(input), keys, aggregates },
        Op::Sort { input, keys, limit } => Op::Sort { input: inner(input), keys, limit },
        Op::Join { kind, left, right, left_keys, right_keys, output } => {
            Op::Join { kind, left: inner(left), right: inner(right), left_keys, right_keys, output }
        }
        Op::Union(legs) => {
            Op::Union(legs.into_iter().map(|(leg, places)| (rewritten(leg), places)).collect())
        }
        Op::Expand { input, expand } => Op::Expand { input: inner(input), expand },
        Op::Window(input, calls) => Op::Window(inner(input), calls),
        Op::Apply { input, expand, inner: body, output } if is_row_by_row(&body) => {
            return applied(rewritten(*input), expand, *body, &output, fields);
        }
        Op::Apply { input, expand, inner: body, output } => {
            Op::Apply { input: inner(input), expand, inner: inner(body), output }
        }
        leaf => leaf,
    };
    Plan { fields, op }
}

/// One filter a term: what the first leaves out the next need not look at.
fn split(input: Plan, predicate: Bound) -> Plan {
    let Bound { kind, node } = predicate;
    match node {
        crate::plan::Node::And(terms, _) => terms.into_iter().fold(input, split),
        node => {
            let predicate = Bound { kind, node };
            Plan { fields: input.fields.clone(), op: Op::Filter(Box::new(input), predicate) }
        }
    }
}

/// True if what a row of the input becomes does not depend on the rows beside it.
fn is_row_by_row(body: &Plan) -> bool {
    match &body.op {
        Op::Lent => true,
        Op::Filter(input, _) | Op::Project(input, _) => is_row_by_row(input),
        _ => false,
    }
}

/// `mv-apply` of a body that goes row by row: all rows are taken apart first, then the body runs once over all
/// of them. What the row was before stands behind its other columns on the way.
fn applied(
    input: Plan,
    mut expand: Expansion,
    body: Plan,
    output: &[(Side, usize)],
    fields: Vec<Field>,
) -> Plan {
    let outer = input.fields.clone();
    let own = (0..expand.width).map(|at| match input.fields.get(at) {
        Some(field) => Bound::column(at, field),
        None => Bound::constant(Type::Dynamic, Value::Null),
    });
    let exprs: Vec<Bound> = own.chain(copies(&outer, 0)).collect();
    let field = |expr: &Bound| Field::new("", expr.kind);
    let fields_before = exprs.iter().map(field).collect();
    let before = Plan { fields: fields_before, op: Op::Project(Box::new(input), exprs) };
    expand.width += outer.len();
    let mut lent: Vec<Field> = lent_fields(&body).to_vec();
    lent.extend(outer.iter().cloned());
    let apart = Plan { fields: lent, op: Op::Expand { input: Box::new(before), expand } };
    let width = body.fields.len();
    let done = over(body, apart, &outer);
    let exprs = output.iter().zip(&fields).map(|((side, at), field)| match side {
        Side::Left => Bound::column(width + at, field),
        Side::Right => Bound::column(*at, field),
    });
    let exprs = exprs.collect();
    rewritten(Plan { fields, op: Op::Project(Box::new(done), exprs) })
}

/// The columns that stand from `begin` on.
fn copies(outer: &[Field], begin: usize) -> impl Iterator<Item = Bound> {
    outer.iter().enumerate().map(move |(at, field)| Bound::column(begin + at, field))
}

fn lent_fields(body: &Plan) -> &[Field] {
    match &body.op {
        Op::Filter(input, _) | Op::Project(input, _) => lent_fields(input),
        _ => &body.fields,
    }
}

/// The body over `rows` instead of what it was to be lent, with the outer columns behind its own.
fn over(body: Plan, rows: Plan, outer: &[Field]) -> Plan {
    let Plan { mut fields, op } = body;
    let op = match op {
        Op::Filter(input, predicate) => Op::Filter(Box::new(over(*input, rows, outer)), predicate),
        Op::Project(input, mut exprs) => {
            let width = input.fields.len();
            exprs.extend(copies(outer, width));
            Op::Project(Box::new(over(*input, rows, outer)), exprs)
        }
        _ => return rows,
    };
    fields.extend(outer.iter().cloned());
    Plan { fields, op }
}

/// Tells each operator which of its columns are read.
fn prune(plan: &mut Plan, read: &[bool]) {
    match &mut plan.op {
        Op::Scan { needed, .. } => needed.copy_from_slice(read),
        Op::Rows(_) | Op::Range { .. } | Op::Lent => {}
        Op::Filter(input, predicate) => {
            let mut below = read.to_vec();
            predicate.mark(&mut below);
            prune(input, &below);
        }
        Op::Project(input, exprs) => {
            let mut below = vec![false; input.fields.len()];
            for (expr, is_read) in exprs.iter_mut().zip(read) {
                if *is_read {
                    expr.mark(&mut below);
                } else {
                    *expr = Bound::constant(expr.kind, expr.kind.nothing());
                }
            }
            prune(input, &below);
        }
        Op::Summarize { input, keys, aggregates } => {
            let mut below = vec![false; input.fields.len()];
            for expr in keys.iter().chain(aggregates.iter().flat_map(|call| &call.arguments)) {
                expr.mark(&mut below);
            }
            prune(input, &below);
        }
        Op::Sort { input, keys, .. } => {
            let mut below = read.to_vec();
            for key in keys {
                key.expr.mark(&mut below);
            }
            prune(input, &below);
        }
        Op::Take(input, _) => prune(input, read),
        Op::Window(input, calls) => {
            let mut below = read.to_vec();
            for argument in calls.iter().flat_map(|call| &call.arguments) {
                argument.mark(&mut below);
            }
            below.truncate(input.fields.len());
            prune(input, &below);
        }
        Op::Join { left, right, left_keys, right_keys, output, .. } => {
            let mut below = (vec![false; left.fields.len()], vec![false; right.fields.len()]);
            for ((side, at), is_read) in output.iter().zip(read) {
                match side {
                    Side::Left => below.0[*at] |= *is_read,
                    Side::Right => below.1[*at] |= *is_read,
                }
            }
            for key in left_keys {
                key.mark(&mut below.0);
            }
            for key in right_keys {
                key.mark(&mut below.1);
            }
            prune(left, &below.0);
            prune(right, &below.1);
        }
        Op::Union(legs) => {
            for (leg, places) in legs {
                let mut below = vec![false; leg.fields.len()];
                for (place, is_read) in places.iter().zip(read) {
                    if let Some(place) = place {
                        below[*place] |= *is_read;
                    }
                }
                prune(leg, &below);
            }
        }
        Op::Expand { input, expand } => {
            let mut below: Vec<bool> = read.iter().take(input.fields.len()).copied().collect();
            for item in &expand.items {
                // A column that is replaced is not read, unless by what replaces it.
                if let Some(slot) = below.get_mut(item.into) {
                    *slot = false;
                }
            }
            for item in &expand.items {
                item.expr.mark(&mut below);
            }
            prune(input, &below);
        }
        Op::Apply { input, inner, .. } => {
            // What the inner plan is lent, it may read: nothing is left out.
            let all = vec![true; input.fields.len()];
            prune(input, &all);
            let all = vec![true; inner.fields.len()];
            prune(inner, &all);
        }
    }
}
