//! The tabular operators.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::name::{Names, make_unique, natural};
use super::window::{Windows, serialized};
use super::{Binder, Row, Scope, unknown_name};
use crate::bind::expr::common_type;
use crate::error::QueryError;
use crate::parse_operator::Pattern;
use crate::plan::{Bound, ExpandItem, Expansion, Field, Key, Memo, Node, Op, Plan, Side};
use crate::syntax::{
    Expand, Expr, Join, JoinKind, Named, Parse, ParsePart, SortKey, Source, Step, Test, TestKind, Union,
};
use crate::value::{Type, Value};

impl Binder<'_, '_> {
    pub(super) fn step(&self, input: Plan, step: &Step, scope: &Scope) -> Result<Plan, QueryError> {
        self.grow()?;
        match step {
            Step::Where(expr) => self.chosen(input, scope, |row| self.predicate(expr, row, "where")),
            Step::Search(expr) => {
                let row = Row::of(&input.fields, scope);
                let is_text = matches!(expr, Expr::Literal(Type::String, _));
                let predicate = if is_text {
                    let test = Test { kind: TestKind::Has, is_negated: false, is_cased: false };
                    let test = crate::syntax::Operator::Text(test);
                    self.expr(&Expr::Binary(test, Box::new(Expr::Star), Box::new(expr.clone())), &row)?
                } else {
                    self.predicate(expr, &row, "search")?
                };
                Ok(filtered(input, predicate))
            }
            Step::Extend(list) => self.extend(input, list, scope),
            Step::Serialize(list) => self.extend(serialized(input), list, scope),
            Step::Project(list) => self.project(input, list, scope),
            Step::ProjectAway(patterns) => {
                let chosen = known(&input.fields, patterns)?;
                Ok(kept(input, |position| !chosen.contains(&position)))
            }
            Step::ProjectKeep(patterns) => {
                let chosen = known(&input.fields, patterns)?;
                Ok(kept(input, |position| chosen.contains(&position)))
            }
            Step::ProjectRename(renames) => {
                let mut input = input;
                for (new, old) in renames {
                    let position =
                        Row::of(&input.fields, scope).position(old).ok_or_else(|| unknown_name(old))?;
                    input.fields[position].name = Arc::from(new.as_str());
                }
                let all: Vec<usize> = (0..input.fields.len()).collect();
                Ok(picked(input, &all))
            }
            Step::ProjectReorder(reorders) => Ok(reordered(input, reorders)),
            Step::Summarize { aggregates, by } => self.summarize(input, aggregates, by, scope),
            Step::Distinct(list) => self.distinct(input, list.as_deref(), scope),
            Step::Count(name) => Ok(self.counted(input, name.as_deref())),
            Step::Top(count, keys) => {
                let limit = self.count(count, scope)?;
                let keys = self.keys(&input, keys, scope)?;
                let fields = input.fields.clone();
                Ok(Plan { fields, op: Op::Sort { input: Box::new(input), keys, limit: Some(limit) } })
            }
            Step::Sort(keys) => {
                let keys = self.keys(&input, keys, scope)?;
                let fields = input.fields.clone();
                Ok(Plan { fields, op: Op::Sort { input: Box::new(input), keys, limit: None } })
            }
            Step::Take(count) => {
                let count = self.count(count, scope)?;
                Ok(Plan { fields: input.fields.clone(), op: Op::Take(Box::new(input), count) })
            }
            Step::Join(join) => self.join(input, join, scope),
            Step::Union(union) => self.union(Some(input), union, scope),
            Step::MvExpand(expand) => {
                let (fields, mut made) = self.expansion(&input, expand, scope)?;
                if expand.limit.is_none() {
                    made.limit = EXPAND_ROWS;
                }
                Ok(Plan { fields, op: Op::Expand { input: Box::new(input), expand: made } })
            }
            Step::MvApply(expand, steps) => self.apply(input, expand, steps, scope),
            Step::Parse(parse) => self.parse(input, parse, scope),
            Step::GetSchema => Ok(schema(&input)),
        }
    }

    /// New columns behind the old ones, or in the place of those whose names they take.
    fn extend(&self, input: Plan, list: &[Named], scope: &Scope) -> Result<Plan, QueryError> {
        let mut made: Vec<(Arc<str>, Bound)> = Vec::new();
        let mut names = Names::default();
        let windows = Windows::over(&input);
        for named in list {
            let row = Row::of(&input.fields, scope).with_made(&made).with_windows(&windows);
            let bound = self.expr(&named.expr, &row)?;
            let name = match named.names.first() {
                Some(name) => Arc::from(name.as_str()),
                None => names.of(&named.expr),
            };
            made.push((name, bound));
        }
        let mut fields = input.fields.clone();
        let mut exprs: Vec<Bound> =
            fields.iter().enumerate().map(|(position, field)| Bound::column(position, field)).collect();
        for (name, bound) in made {
            let field = field_of(name, &bound, &input.fields);
            match fields.iter().position(|known| known.name == field.name) {
                Some(position) => {
                    fields[position] = field;
                    exprs[position] = bound;
                }
                None => {
                    fields.push(field);
                    exprs.push(bound);
                }
            }
        }
        Ok(Plan { fields, op: Op::Project(Box::new(windows.apply(input)), exprs) })
    }

    fn project(&self, input: Plan, list: &[Named], scope: &Scope) -> Result<Plan, QueryError> {
        let (mut fields, mut exprs) = (Vec::new(), Vec::new());
        let mut names = Names::default();
        let mut made: Vec<(Arc<str>, Bound)> = Vec::new();
        let windows = Windows::over(&input);
        for named in list {
            let row = Row::of(&input.fields, scope).with_made(&made).with_windows(&windows);
            let bound = self.expr(&named.expr, &row)?;
            let name = match named.names.first() {
                Some(name) => names.unique(name),
                None => names.of(&named.expr),
            };
            fields.push(field_of(Arc::clone(&name), &bound, &input.fields));
            made.push((name, bound.clone()));
            exprs.push(bound);
        }
        Ok(Plan { fields, op: Op::Project(Box::new(windows.apply(input)), exprs) })
    }

    fn keys(&self, input: &Plan, keys: &[SortKey], scope: &Scope) -> Result<Vec<Key>, QueryError> {
        let row = Row::of(&input.fields, scope);
        let bind = |key: &SortKey| {
            let expr = self.expr(&key.expr, &row)?;
            Ok(Key { expr, is_ascending: key.is_ascending, nulls_first: key.nulls_first })
        };
        keys.iter().map(bind).collect()
    }

    fn join(&self, left: Plan, join: &Join, scope: &Scope) -> Result<Plan, QueryError> {
        let right = self.pipeline(&join.right, scope)?;
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for (one, other) in &join.on {
            let one = self.expr(one, &Row::of(&left.fields, scope))?;
            let other = self.expr(other, &Row::of(&right.fields, scope))?;
            // Documents' parts are compared as what they hold.
            let kind = match (one.kind, other.kind) {
                (one, other) if one == other => one,
                (Type::Dynamic, kind) | (kind, Type::Dynamic) => kind,
                (one, other) => match common_type(one, other) {
                    Type::Dynamic => {
                        let message = format!(
                            "join: cannot compare columns of types {} and {}. Convert one of them first.",
                            one.name(),
                            other.name()
                        );
                        return Err(QueryError::invalid(message));
                    }
                    kind => kind,
                },
            };
            left_keys.push(self.as_type(one, kind));
            right_keys.push(self.as_type(other, kind));
        }
        let all = |side: Side, plan: &Plan| (0..plan.fields.len()).map(|at| (side, at)).collect::<Vec<_>>();
        let mut output = match join.kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => all(Side::Left, &left),
            JoinKind::RightSemi | JoinKind::RightAnti => all(Side::Right, &right),
            _ => [all(Side::Left, &left), all(Side::Right, &right)].concat(),
        };
        if join.is_lookup {
            let is_key =
                |at: usize| right_keys.iter().any(|key| matches!(key.node, Node::Column(it) if it == at));
            output.retain(|(side, at)| *side == Side::Left || !is_key(*at));
        }
        let field = |(side, at): &(Side, usize)| match side {
            Side::Left => left.fields[*at].clone(),
            Side::Right => right.fields[*at].clone(),
        };
        let mut fields: Vec<Field> = output.iter().map(field).collect();
        make_unique(&mut fields);
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Plan { fields, op: Op::Join { kind: join.kind, left, right, left_keys, right_keys, output } })
    }

    pub(super) fn union(
        &self,
        first: Option<Plan>,
        union: &Union,
        scope: &Scope,
    ) -> Result<Plan, QueryError> {
        let mut legs: Vec<(String, Plan)> =
            first.into_iter().map(|plan| ("union_arg0".to_owned(), plan)).collect();
        for leg in &union.legs {
            let name = match &leg.source {
                Source::Named(name) if leg.steps.is_empty() => name.clone(),
                _ => format!("union_arg{}", legs.len()),
            };
            legs.push((name, self.pipeline(leg, scope)?));
        }
        if let Some(column) = &union.source_column {
            for (name, plan) in &mut legs {
                let empty = Plan { fields: Vec::new(), op: Op::Lent };
                let input = std::mem::replace(plan, empty);
                let mut fields = vec![Field::new(column.as_str(), Type::String)];
                let mut exprs = vec![Bound::constant(Type::String, Value::text(name.as_str()))];
                for (position, field) in input.fields.iter().enumerate() {
                    fields.push(field.clone());
                    exprs.push(Bound::column(position, field));
                }
                *plan = Plan { fields, op: Op::Project(Box::new(input), exprs) };
            }
        }
        by_type(&mut legs);
        let mut fields: Vec<Field> = Vec::new();
        for (_, plan) in &legs {
            for field in &plan.fields {
                match fields.iter_mut().find(|known| known.name == field.name) {
                    Some(known) => known.ignores_case &= field.ignores_case,
                    None => fields.push(field.clone()),
                }
            }
        }
        let place = |plan: &Plan, name: &Arc<str>| plan.fields.iter().position(|field| field.name == *name);
        if union.is_inner {
            fields.retain(|field| legs.iter().all(|(_, plan)| place(plan, &field.name).is_some()));
        }
        let legs = legs.into_iter().map(|(_, plan)| {
            let places = fields.iter().map(|field| place(&plan, &field.name)).collect();
            (plan, places)
        });
        let legs = legs.collect();
        Ok(Plan { fields, op: Op::Union(legs) })
    }

    fn expansion(
        &self,
        input: &Plan,
        expand: &Expand,
        scope: &Scope,
    ) -> Result<(Vec<Field>, Expansion), QueryError> {
        let row = Row::of(&input.fields, scope);
        let mut fields = input.fields.clone();
        let mut items = Vec::new();
        for (named, kind) in &expand.items {
            let bound = self.expr(&named.expr, &row)?;
            if !matches!(bound.kind, Type::Dynamic | Type::String) {
                let message =
                    format!("mv-expand needs a dynamic value; this is of type {}.", bound.kind.name());
                return Err(QueryError::invalid(message));
            }
            let name: Arc<str> = match named.names.first() {
                Some(name) => Arc::from(name.as_str()),
                None => natural(&named.expr).map_or_else(|| Arc::from("Column1"), Arc::from),
            };
            let field = Field::new(Arc::clone(&name), kind.unwrap_or(Type::Dynamic));
            let into = match fields.iter().position(|known| known.name == name) {
                Some(position) => {
                    fields[position] = field;
                    position
                }
                None => {
                    fields.push(field);
                    fields.len() - 1
                }
            };
            let expr = if bound.kind == Type::String {
                self.call_function("parse_json", vec![bound])?
            } else {
                bound
            };
            items.push(ExpandItem { expr, into, kind: *kind });
        }
        let index = expand.index.as_ref().map(|name| {
            fields.push(Field::new(name.as_str(), Type::Long));
            fields.len() - 1
        });
        let limit = match &expand.limit {
            Some(limit) => self.count(limit, scope)?,
            None => usize::MAX,
        };
        let width = fields.len();
        Ok((fields, Expansion { items, as_pairs: expand.as_pairs, index, limit, width }))
    }

    fn apply(&self, input: Plan, expand: &Expand, steps: &[Step], scope: &Scope) -> Result<Plan, QueryError> {
        let (lent, expansion) = self.expansion(&input, expand, scope)?;
        let mut inner = Plan { fields: lent, op: Op::Lent };
        for step in steps {
            inner = self.step(inner, step, scope)?;
        }
        let mut output = Vec::new();
        let mut fields = Vec::new();
        for (position, field) in input.fields.iter().enumerate() {
            match inner.fields.iter().position(|it| it.name == field.name) {
                Some(at) => {
                    output.push((Side::Right, at));
                    fields.push(inner.fields[at].clone());
                }
                None => {
                    output.push((Side::Left, position));
                    fields.push(field.clone());
                }
            }
        }
        for (at, field) in inner.fields.iter().enumerate() {
            if !output.contains(&(Side::Right, at)) {
                output.push((Side::Right, at));
                fields.push(field.clone());
            }
        }
        make_unique(&mut fields);
        let (input, inner) = (Box::new(input), Box::new(inner));
        Ok(Plan { fields, op: Op::Apply { input, expand: expansion, inner, output } })
    }

    fn parse(&self, input: Plan, parse: &Parse, scope: &Scope) -> Result<Plan, QueryError> {
        let bound = self.expr(&parse.expr, &Row::of(&input.fields, scope))?;
        let text = self.as_type(bound, Type::String);
        let pattern =
            Pattern::new(parse.kind, parse.flags.as_deref(), &parse.pattern).map_err(QueryError::invalid)?;
        let node = Node::Parsed(Arc::new(pattern), Box::new(text), Memo::default());
        let parsed = Bound { kind: Type::Dynamic, node };
        // What was read goes into a column of its own first, so that it is read once.
        let place = input.fields.len();
        let mut fields = input.fields.clone();
        let mut exprs: Vec<Bound> =
            fields.iter().enumerate().map(|(position, field)| Bound::column(position, field)).collect();
        fields.push(Field::new("", Type::Dynamic));
        exprs.push(parsed);
        let mut plan = Plan { fields, op: Op::Project(Box::new(input), exprs) };
        let read = Bound { kind: Type::Dynamic, node: Node::Column(place) };
        if parse.is_where {
            let is_read = self.call_function("isnotnull", vec![read.clone()])?;
            plan = filtered(plan, is_read);
        }
        let mut fields: Vec<Field> = plan.fields[..place].to_vec();
        let mut exprs: Vec<Bound> =
            fields.iter().enumerate().map(|(position, field)| Bound::column(position, field)).collect();
        let columns = parse.pattern.iter().filter_map(|part| match part {
            ParsePart::Column(name, kind) => Some((name, *kind)),
            _ => None,
        });
        for (at, (name, kind)) in (0_i64..).zip(columns) {
            let at = Box::new(Bound::constant(Type::Long, Value::Long(at)));
            let node = Node::Index(Box::new(read.clone()), at, Memo::default());
            let bound = self.as_type(Bound { kind: Type::Dynamic, node }, kind);
            let field = Field::new(name.as_str(), kind);
            match fields.iter().position(|known| *known.name == **name) {
                Some(position) => {
                    fields[position] = field;
                    exprs[position] = bound;
                }
                None => {
                    fields.push(field);
                    exprs.push(bound);
                }
            }
        }
        Ok(Plan { fields, op: Op::Project(Box::new(plan), exprs) })
    }
}

/// A column that has another type in another leg is called by its type, too: `n_long` and `n_string`.
fn by_type(legs: &mut [(String, Plan)]) {
    let mut kinds: HashMap<Arc<str>, HashSet<Type>> = HashMap::new();
    for field in legs.iter().flat_map(|(_, plan)| &plan.fields) {
        kinds.entry(Arc::clone(&field.name)).or_default().insert(field.kind);
    }
    for field in legs.iter_mut().flat_map(|(_, plan)| &mut plan.fields) {
        if kinds.get(&field.name).is_some_and(|kinds| kinds.len() > 1) {
            field.name = Arc::from(format!("{}_{}", field.name, field.kind.name()));
        }
    }
    for (_, plan) in legs {
        make_unique(&mut plan.fields);
    }
}

fn filtered(input: Plan, predicate: Bound) -> Plan {
    Plan { fields: input.fields.clone(), op: Op::Filter(Box::new(input), predicate) }
}

fn field_of(name: Arc<str>, bound: &Bound, input: &[Field]) -> Field {
    let ignores_case = match bound.node {
        Node::Column(position) => input.get(position).is_some_and(|field| field.ignores_case),
        _ => false,
    };
    Field { name, kind: bound.kind, ignores_case }
}

/// The columns in these places, under the names that they have.
fn picked(input: Plan, places: &[usize]) -> Plan {
    let fields = places.iter().map(|place| input.fields[*place].clone()).collect();
    let exprs = places.iter().map(|place| Bound::column(*place, &input.fields[*place])).collect();
    Plan { fields, op: Op::Project(Box::new(input), exprs) }
}

fn kept(input: Plan, is_kept: impl Fn(usize) -> bool) -> Plan {
    let places: Vec<usize> = (0..input.fields.len()).filter(|place| is_kept(*place)).collect();
    picked(input, &places)
}

/// As [`chosen`]; what is no pattern must be a column.
fn known(fields: &[Field], patterns: &[String]) -> Result<Vec<usize>, QueryError> {
    let is_known = |name: &String| name.contains('*') || fields.iter().any(|field| *field.name == **name);
    match patterns.iter().find(|name| !is_known(name)) {
        Some(name) => Err(unknown_name(name)),
        None => Ok(chosen(fields, patterns)),
    }
}

/// The places of the columns that fit one of the patterns.
fn chosen(fields: &[Field], patterns: &[String]) -> Vec<usize> {
    let fits = |field: &Field| patterns.iter().any(|pattern| fits(pattern, &field.name));
    (0..fields.len()).filter(|place| fits(&fields[*place])).collect()
}

/// A name against a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn reordered(input: Plan, reorders: &[(String, Option<bool>)]) -> Plan {
    let mut places: Vec<usize> = Vec::new();
    for (pattern, order) in reorders {
        let mut found: Vec<usize> = chosen(&input.fields, std::slice::from_ref(pattern));
        found.retain(|place| !places.contains(place));
        if let Some(is_ascending) = order {
            found.sort_by_key(|place| input.fields[*place].name.to_lowercase());
            if !is_ascending {
                found.reverse();
            }
        }
        places.extend(found);
    }
    for place in 0..input.fields.len() {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    picked(input, &places)
}

fn schema(input: &Plan) -> Plan {
    let row = |(ordinal, field): (i64, &Field)| {
        let system = match field.kind {
            Type::Bool => "System.SByte",
            Type::Int => "System.Int32",
            Type::Long => "System.Int64",
            Type::Real => "System.Double",
            Type::Decimal => "System.Data.SqlTypes.SqlDecimal",
            Type::String => "System.String",
            Type::DateTime => "System.DateTime",
            Type::TimeSpan => "System.TimeSpan",
            Type::Guid => "System.Guid",
            Type::Dynamic => "System.Object",
        };
        vec![
            Value::text(&field.name),
            Value::Long(ordinal),
            Value::text(system),
            Value::text(field.kind.name()),
        ]
    };
    let rows = (0_i64..).zip(&input.fields).map(row).collect();
    let fields = [
        ("ColumnName", Type::String),
        ("ColumnOrdinal", Type::Int),
        ("DataType", Type::String),
        ("ColumnType", Type::String),
    ];
    let fields = fields.map(|(name, kind)| Field::new(name, kind)).to_vec();
    Plan { fields, op: Op::Rows(Arc::new(rows)) }
}

/// What `mv-expand` makes of one row at most, unless it says otherwise: Resource Graph's default.
const EXPAND_ROWS: usize = 128;
