//! Random pipelines over random rows against plain loops over values, with and without the optimiser, over
//! rows in plain columns and over rows in codes and documents.

mod lent;
mod loops;

use std::collections::HashSet;
use std::sync::Arc;

use kql::{Settings, Type, Value};
use lent::Tables;
use proptest::prelude::*;

/// A row: names and values, in order.
type Row = Vec<(String, Value)>;

/// An operator: its text, and what it does in plain loops.
#[derive(Clone, Debug)]
enum Op {
    /// column, comparison, constant
    Where(&'static str, &'static str, i64),
    WhereText(&'static str, &'static str),
    WhereNull(&'static str),
    /// `w = v + k`
    ExtendSum,
    /// `t = strcat(s, '-', k)`
    ExtendText,
    /// `a = d.a`
    ExtendMember,
    Keep(Vec<usize>),
    Away(usize),
    Summarize(Vec<usize>),
    Distinct(Vec<usize>),
    Sort(&'static str, bool),
    Top(usize, &'static str),
    Take(usize),
    Count,
    Join(&'static str),
    Union,
    Expand,
    /// `mv-apply e = d.l on (summarize z = sum(e))`
    Apply,
    Lookup,
    Rename(usize),
    KeepOnly(Vec<usize>),
    Parse,
    More(loops::More),
}

fn op() -> impl Strategy<Value = Op> {
    let column = prop_oneof![Just("k"), Just("v"), Just("w"), Just("a"), Just("u")];
    let comparison = prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let places = || proptest::collection::vec(0_usize..8, 1..4);
    let kind = prop_oneof![
        Just("innerunique"),
        Just("inner"),
        Just("leftouter"),
        Just("rightouter"),
        Just("fullouter"),
        Just("leftsemi"),
        Just("rightsemi"),
        Just("leftanti"),
        Just("rightanti"),
    ];
    prop_oneof![
        (column.clone(), comparison, -2_i64..4)
            .prop_map(|(column, operator, value)| Op::Where(column, operator, value)),
        (
            prop_oneof![Just("=~"), Just("contains"), Just("has"), Just("startswith")],
            prop_oneof![Just("A"), Just("b"), Just("x:y"), Just("nosuch")]
        )
            .prop_map(|(test, needle)| Op::WhereText(test, needle)),
        column.clone().prop_map(Op::WhereNull),
        Just(Op::ExtendSum),
        Just(Op::ExtendText),
        Just(Op::ExtendMember),
        places().prop_map(Op::Keep),
        (0_usize..8).prop_map(Op::Away),
        places().prop_map(Op::Summarize),
        places().prop_map(Op::Distinct),
        (column.clone(), any::<bool>()).prop_map(|(column, order)| Op::Sort(column, order)),
        (0_usize..6, column).prop_map(|(count, column)| Op::Top(count, column)),
        (0_usize..12).prop_map(Op::Take),
        Just(Op::Count),
        kind.prop_map(Op::Join),
        Just(Op::Union),
        Just(Op::Expand),
        Just(Op::Apply),
        Just(Op::Lookup),
        (0_usize..8).prop_map(Op::Rename),
        places().prop_map(Op::KeepOnly),
        Just(Op::Parse),
        loops::more().prop_map(Op::More),
        loops::more().prop_map(Op::More),
        loops::more().prop_map(Op::More),
    ]
}

/// Rows with the names and types of their columns, which stay when there are no rows.
#[derive(Clone, Debug)]
struct Rows {
    columns: Vec<(String, Type)>,
    rows: Vec<Row>,
}

impl Rows {
    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(known, _)| known == name)
    }

    fn kind(&self, name: &str) -> Type {
        self.columns.iter().find(|(known, _)| known == name).map_or(Type::Dynamic, |(_, kind)| *kind)
    }

    fn chosen(&self, places: &[usize]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for place in places {
            let name = &self.columns[place % self.columns.len()].0;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn set(&mut self, name: &str, kind: Type, value: impl Fn(&Row) -> Value) {
        for row in &mut self.rows {
            let value = value(row);
            match row.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => row.push((name.to_owned(), value)),
            }
        }
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = kind,
            None => self.columns.push((name.to_owned(), kind)),
        }
    }

    fn keep(&mut self, names: &[String]) {
        let columns = names.iter().map(|name| (name.clone(), self.kind(name)));
        self.columns = columns.collect();
        for row in &mut self.rows {
            *row = names.iter().map(|name| (name.clone(), get(row, name))).collect();
        }
    }
}

fn get(row: &Row, name: &str) -> Value {
    row.iter().find(|(known, _)| known == name).map_or(Value::Null, |(_, value)| value.clone())
}

/// The text and the effect of an operator; `None` if it makes no sense here.
fn applied(op: &Op, rows: &Rows, right: &Rows, all: &Rows) -> Option<(String, Rows)> {
    let mut out = rows.clone();
    let is_number = |name: &str| rows.kind(name).is_whole() && rows.has(name);
    let text = match op {
        Op::Where(column, operator, wanted) => {
            if !is_number(column) {
                return None;
            }
            out.rows.retain(|row| match (get(row, column), *operator) {
                (Value::Long(value), "==") => value == *wanted,
                (Value::Long(value), "!=") => value != *wanted,
                (Value::Long(value), "<") => value < *wanted,
                (Value::Long(value), "<=") => value <= *wanted,
                (Value::Long(value), ">") => value > *wanted,
                (Value::Long(value), _) => value >= *wanted,
                // Nothing is unequal to something, and else neither more nor less.
                (_, operator) => operator == "!=",
            });
            format!("where {column} {operator} {wanted}")
        }
        Op::WhereText(test, needle) => {
            if rows.kind("s") != Type::String || !rows.has("s") {
                return None;
            }
            let lower = needle.to_lowercase();
            out.rows.retain(|row| {
                let text = get(row, "s").to_text().to_lowercase();
                match *test {
                    "=~" => text == lower,
                    "contains" => text.contains(&lower),
                    "startswith" => text.starts_with(&lower),
                    _ => {
                        let is_term = |at: usize| {
                            let before = text[..at].chars().next_back();
                            let after = text[at + lower.len()..].chars().next();
                            !before.is_some_and(char::is_alphanumeric)
                                && !after.is_some_and(char::is_alphanumeric)
                        };
                        (0..text.len()).any(|at| text[at..].starts_with(&lower) && is_term(at))
                    }
                }
            });
            format!("where s {test} '{needle}'")
        }
        Op::WhereNull(column) => {
            if !rows.has(column) {
                return None;
            }
            out.rows.retain(|row| get(row, column) == Value::Null);
            format!("where isnull({column})")
        }
        Op::ExtendSum => {
            if !is_number("v") || !is_number("k") {
                return None;
            }
            out.set("w", Type::Long, |row| match (get(row, "v"), get(row, "k")) {
                (Value::Long(one), Value::Long(other)) => Value::Long(one + other),
                _ => Value::Null,
            });
            "extend w = v + k".to_owned()
        }
        Op::ExtendText => {
            if !rows.has("s") || !is_number("k") {
                return None;
            }
            out.set("t", Type::String, |row| {
                Value::text(format!("{}-{}", get(row, "s").to_text(), get(row, "k").to_text()))
            });
            "extend t = strcat(s, '-', k)".to_owned()
        }
        Op::ExtendMember => {
            if rows.kind("d") != Type::Dynamic || !rows.has("d") {
                return None;
            }
            out.set("a", Type::Long, |row| get(row, "d").member("a").cloned().unwrap_or(Value::Null));
            "extend a = tolong(d.a)".to_owned()
        }
        Op::Keep(places) => {
            let names = rows.chosen(places);
            out.keep(&names);
            format!("project {}", names.join(", "))
        }
        Op::Away(place) => {
            if rows.columns.len() < 2 {
                return None;
            }
            let name = rows.columns[place % rows.columns.len()].0.clone();
            let names: Vec<String> =
                rows.columns.iter().map(|(known, _)| known.clone()).filter(|known| *known != name).collect();
            out.keep(&names);
            format!("project-away {name}")
        }
        Op::Summarize(places) => {
            let names = rows.chosen(places);
            if !is_number("v") || names.iter().any(|name| name == "v") {
                return None;
            }
            let mut groups: Vec<(Vec<Value>, Vec<Row>)> = Vec::new();
            for row in &rows.rows {
                let key: Vec<Value> = names.iter().map(|name| get(row, name)).collect();
                match groups.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, members)) => members.push(row.clone()),
                    None => groups.push((key, vec![row.clone()])),
                }
            }
            let mut columns: Vec<(String, Type)> =
                names.iter().map(|name| (name.clone(), rows.kind(name))).collect();
            let made = [
                ("n", Type::Long),
                ("v", Type::Long),
                ("lo", Type::Long),
                ("hi", Type::Long),
                ("each", Type::Long),
            ];
            columns.extend(made.iter().map(|(name, kind)| ((*name).to_owned(), *kind)));
            let row = |(key, members): &(Vec<Value>, Vec<Row>)| {
                let values: Vec<i64> = members.iter().filter_map(|row| get(row, "v").as_long()).collect();
                let least = values.iter().min().map_or(Value::Null, |it| Value::Long(*it));
                let most = values.iter().max().map_or(Value::Null, |it| Value::Long(*it));
                let distinct = values.iter().collect::<HashSet<_>>().len();
                let mut row: Row = names.iter().cloned().zip(key.iter().cloned()).collect();
                let count = |count: usize| Value::Long(i64::try_from(count).expect("small"));
                row.push(("n".to_owned(), count(members.len())));
                row.push(("v".to_owned(), Value::Long(values.iter().sum())));
                row.push(("lo".to_owned(), least));
                row.push(("hi".to_owned(), most));
                row.push(("each".to_owned(), count(distinct)));
                row
            };
            let made = groups.iter().map(row).collect();
            // Keys may have the names of what is made.
            if names.iter().any(|name| ["n", "lo", "hi", "each"].contains(&name.as_str())) {
                return None;
            }
            out = Rows { columns, rows: made };
            format!(
                "summarize n = count(), v = sum(v), lo = min(v), hi = max(v), each = dcount(v) by {}",
                names.join(", ")
            )
        }
        Op::Distinct(places) => {
            let names = rows.chosen(places);
            out.keep(&names);
            let mut seen: Vec<Row> = Vec::new();
            out.rows.retain(|row| {
                let is_new = !seen.contains(row);
                if is_new {
                    seen.push(row.clone());
                }
                is_new
            });
            format!("distinct {}", names.join(", "))
        }
        Op::Sort(column, is_ascending) => {
            if !is_number(column) {
                return None;
            }
            sort(&mut out.rows, column, *is_ascending);
            format!("sort by {column} {}", if *is_ascending { "asc" } else { "desc" })
        }
        Op::Top(count, column) => {
            if !is_number(column) {
                return None;
            }
            sort(&mut out.rows, column, false);
            out.rows.truncate(*count);
            format!("top {count} by {column}")
        }
        Op::Take(count) => {
            out.rows.truncate(*count);
            format!("take {count}")
        }
        Op::Count => {
            let count = Value::Long(i64::try_from(rows.rows.len()).expect("small"));
            out = Rows {
                columns: vec![("Count".to_owned(), Type::Long)],
                rows: vec![vec![("Count".to_owned(), count)]],
            };
            "count".to_owned()
        }
        Op::Join(kind) => {
            if !is_number("k") || rows.columns.len() > 12 {
                return None;
            }
            out = joined(kind, rows, right);
            format!("join kind={kind} (U) on k")
        }
        Op::Union => {
            if rows.rows.len() > 200
                || !rows.columns.iter().all(|(name, kind)| !all.has(name) || all.kind(name) == *kind)
            {
                return None;
            }
            for (name, kind) in &all.columns {
                if !out.has(name) {
                    out.set(name, *kind, |_| kind.nothing());
                }
            }
            let names: Vec<(String, Type)> = out.columns.clone();
            for row in &all.rows {
                let value = |(name, kind): &(String, Type)| {
                    (name.clone(), if all.has(name) { get(row, name) } else { kind.nothing() })
                };
                out.rows.push(names.iter().map(value).collect());
            }
            "union (T)".to_owned()
        }
        Op::Expand => {
            if rows.kind("d") != Type::Dynamic || !rows.has("d") {
                return None;
            }
            let mut made = Vec::new();
            for row in &rows.rows {
                let elements = match get(row, "d").member("l").cloned() {
                    Some(Value::Array(items)) => items.to_vec(),
                    // Nothing makes a row, an empty list makes none.
                    other => vec![other.unwrap_or(Value::Null)],
                };
                for element in elements {
                    let mut row = row.clone();
                    row.retain(|(name, _)| name != "e");
                    row.push(("e".to_owned(), element));
                    made.push(row);
                }
            }
            out.set("e", Type::Dynamic, |_| Value::Null);
            out.rows = made;
            let names: Vec<String> = out.columns.iter().map(|(name, _)| name.clone()).collect();
            out.keep(&names);
            "mv-expand e = d.l".to_owned()
        }
        Op::Apply => {
            if rows.kind("d") != Type::Dynamic || !rows.has("d") {
                return None;
            }
            let sum = |row: &Row| match get(row, "d").member("l") {
                Some(Value::Array(items)) if items.is_empty() => None,
                Some(Value::Array(items)) => Some(items.iter().filter_map(Value::as_long).sum()),
                // Nothing makes one row of nothing, whose sum is nought.
                _ => Some(0),
            };
            out.rows.retain(|row| sum(row).is_some());
            out.set("z", Type::Long, |row| Value::Long(sum(row).expect("kept")));
            "mv-apply e = d.l to typeof(long) on (summarize z = sum(e))".to_owned()
        }
        Op::Lookup => {
            if !is_number("k") || rows.has("u") || rows.columns.len() > 12 {
                return None;
            }
            out = joined("leftouter", rows, right);
            let names: Vec<String> =
                rows.columns.iter().map(|(name, _)| name.clone()).chain(["u".to_owned()]).collect();
            out.keep(&names);
            "lookup (U) on k".to_owned()
        }
        Op::Rename(place) => {
            let old = rows.columns[place % rows.columns.len()].0.clone();
            if rows.has("r") {
                return None;
            }
            for (name, _) in out.columns.iter_mut() {
                if *name == old {
                    "r".clone_into(name);
                }
            }
            for (name, _) in out.rows.iter_mut().flatten() {
                if *name == old {
                    "r".clone_into(name);
                }
            }
            format!("project-rename r = {old}")
        }
        Op::KeepOnly(places) => {
            let names = rows.chosen(places);
            let kept: Vec<String> = rows
                .columns
                .iter()
                .map(|(name, _)| name.clone())
                .filter(|name| names.contains(name))
                .collect();
            out.keep(&kept);
            format!("project-keep {}", names.join(", "))
        }
        Op::Parse => {
            if rows.kind("s") != Type::String || !rows.has("s") {
                return None;
            }
            let part = |row: &Row, second: bool| match get(row, "s").to_text().split_once(':') {
                Some((one, other)) => Value::text(if second { other } else { one }),
                None => Value::text(""),
            };
            out.set("p", Type::String, |row| part(row, false));
            out.set("q", Type::String, |row| part(row, true));
            "parse s with p ':' q".to_owned()
        }
        Op::More(more) => return loops::applied(more, rows, right, all),
    };
    Some((text, out))
}

fn sort(rows: &mut [Row], column: &str, is_ascending: bool) {
    rows.sort_by(|one, other| {
        let (one, other) = (get(one, column), get(other, column));
        // Nothing comes first when ascending and last when descending: it counts as the least.
        if is_ascending { one.cmp(&other) } else { other.cmp(&one) }
    });
}

fn joined(kind: &str, left: &Rows, right: &Rows) -> Rows {
    let mut columns = left.columns.clone();
    let mut names: Vec<(String, String)> = Vec::new();
    for (name, kind) in &right.columns {
        let mut unique = name.clone();
        let mut number = 0;
        while columns.iter().any(|(known, _)| *known == unique) {
            number += 1;
            unique = format!("{name}{number}");
        }
        columns.push((unique.clone(), *kind));
        names.push((name.clone(), unique));
    }
    let is_match = |one: &Row, other: &Row| {
        let (one, other) = (get(one, "k"), get(other, "k"));
        one != Value::Null && one == other
    };
    let pair = |one: Option<&Row>, other: Option<&Row>| -> Row {
        let left_part = left
            .columns
            .iter()
            .map(|(name, kind)| (name.clone(), one.map_or(kind.nothing(), |row| get(row, name))));
        let right_part = names.iter().zip(&right.columns).map(|((name, unique), (_, kind))| {
            (unique.clone(), other.map_or(kind.nothing(), |row| get(row, name)))
        });
        left_part.chain(right_part).collect()
    };
    let mut lefts: Vec<&Row> = left.rows.iter().collect();
    if kind == "innerunique" {
        let mut seen = HashSet::new();
        lefts.retain(|row| get(row, "k") != Value::Null && seen.insert(get(row, "k")));
    }
    let has_right = |row: &Row| right.rows.iter().any(|other| is_match(row, other));
    let has_left = |row: &Row| left.rows.iter().any(|other| is_match(other, row));
    match kind {
        "leftsemi" | "leftanti" => {
            let mut rows = left.clone();
            rows.rows.retain(|row| has_right(row) == (kind == "leftsemi"));
            return rows;
        }
        "rightsemi" | "rightanti" => {
            let mut rows = right.clone();
            rows.rows.retain(|row| has_left(row) == (kind == "rightsemi"));
            return rows;
        }
        _ => {}
    }
    // The rows come in the order of the right side, unless all of the left come out.
    let mut rows = Vec::new();
    if kind == "leftouter" {
        for one in lefts {
            rows.extend(
                right
                    .rows
                    .iter()
                    .filter(|other| is_match(one, other))
                    .map(|other| pair(Some(one), Some(other))),
            );
            if !has_right(one) {
                rows.push(pair(Some(one), None));
            }
        }
    } else {
        for other in &right.rows {
            rows.extend(
                lefts.iter().filter(|one| is_match(one, other)).map(|one| pair(Some(one), Some(other))),
            );
            if matches!(kind, "rightouter" | "fullouter") && !has_left(other) {
                rows.push(pair(None, Some(other)));
            }
        }
        if kind == "fullouter" {
            rows.extend(left.rows.iter().filter(|one| !has_right(one)).map(|one| pair(Some(one), None)));
        }
    }
    Rows { columns, rows }
}

fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![Just("a"), Just("B"), Just("x:y"), Just("a b"), Just("x:y:z"), Just("")];
    let list = proptest::option::of(proptest::collection::vec(0_i64..3, 0..3));
    (0_i64..4, text, proptest::option::of(-3_i64..4), proptest::option::of(0_i64..3), list).prop_map(
        |(k, s, v, a, l)| {
            let number = |value: Option<i64>| value.map_or(Value::Null, Value::Long);
            let mut bag = Vec::new();
            if a.is_some() {
                bag.push((Arc::from("a"), number(a)));
            }
            if let Some(list) = l {
                bag.push((Arc::from("l"), Value::array(list.into_iter().map(Value::Long).collect())));
            }
            vec![
                ("k".to_owned(), Value::Long(k)),
                ("s".to_owned(), Value::text(s)),
                ("v".to_owned(), number(v)),
                ("d".to_owned(), Value::object(bag)),
            ]
        },
    )
}

fn of(columns: &[(&str, Type)], rows: Vec<Row>) -> Rows {
    Rows { columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(), rows }
}

/// What a pipeline comes to is what the loops come to: in plain columns and in codes, optimised and not.
fn agrees(rows: Vec<Row>, right: Vec<(i64, i64)>, ops: &[Op], batch: usize) -> Result<(), TestCaseError> {
    let all = of(&[("k", Type::Long), ("s", Type::String), ("v", Type::Long), ("d", Type::Dynamic)], rows);
    let right = right
        .into_iter()
        .map(|(k, u)| vec![("k".to_owned(), Value::Long(k)), ("u".to_owned(), Value::Long(u))]);
    let right = of(&[("k", Type::Long), ("u", Type::Long)], right.collect());
    let mut wanted = all.clone();
    let mut text = "T".to_owned();
    for op in ops {
        if let Some((step, rows)) = applied(op, &wanted, &right, &all) {
            text = format!("{text}\n| {step}");
            wanted = rows;
        }
        prop_assume!(wanted.rows.len() < 3000);
    }
    let names: Vec<&str> = wanted.columns.iter().map(|(name, _)| name.as_str()).collect();
    for (is_coded, optimises) in [(false, false), (false, true), (true, false), (true, true)] {
        let tables = [("T", all.clone()), ("U", right.clone())].into_iter().collect();
        let tables = Tables { tables, is_coded, batch };
        let settings = Settings { now: 0, memory_bytes_max: 1 << 30, stop: &|| false };
        let answer = match kql::run_with(&text, &tables, &settings, optimises) {
            Ok(answer) => answer,
            Err(error) => return Err(TestCaseError::fail(format!("{text}\n{error}"))),
        };
        let found: Vec<&str> = answer.columns.iter().map(|column| &*column.name).collect();
        prop_assert_eq!(&found, &names, "{}", &text);
        let found: Vec<Vec<Value>> = (0..answer.rows).map(|row| answer.row(row)).collect();
        let rows: Vec<Vec<Value>> =
            wanted.rows.iter().map(|row| row.iter().map(|(_, value)| value.clone()).collect()).collect();
        prop_assert_eq!(found, rows, "{} coded {} optimised {}", &text, is_coded, optimises);
    }
    Ok(())
}

proptest! {
    #![proptest_config(testkit::cases(400))]

    #[test]
    fn pipelines_do_what_plain_loops_do(
        rows in proptest::collection::vec(row(), 0..14),
        right in proptest::collection::vec((0_i64..4, -1_i64..3), 0..6),
        ops in proptest::collection::vec(op(), 1..9),
        batch in 1_usize..5,
    ) {
        agrees(rows, right, &ops, batch)?;
    }
}

fn one_row(k: i64, s: &str) -> Row {
    vec![
        ("k".to_owned(), Value::Long(k)),
        ("s".to_owned(), Value::text(s)),
        ("v".to_owned(), Value::Null),
        ("d".to_owned(), Value::object(Vec::new())),
    ]
}

#[test]
fn a_lookup_takes_partners_of_a_later_batch() {
    agrees(vec![one_row(2, "B"), one_row(1, "B")], vec![(1, 0)], &[Op::Lookup], 1).expect("agrees");
}

/// Where nothing is left, no operator makes a row of it: what stands in each row of a batch alike is no row.
#[test]
fn no_rows_stay_no_rows_through_any_operators() {
    let nothing = || Op::WhereText("=~", "nosuch");
    let emptied: [&[Op]; 6] = [
        &[],
        &[Op::Distinct(vec![1])],
        &[Op::Summarize(vec![1])],
        &[Op::Distinct(vec![0, 3]), Op::Distinct(vec![0])],
        &[Op::Sort("k", true), Op::Take(3)],
        &[Op::Expand, Op::Distinct(vec![1])],
    ];
    let then: [&[Op]; 10] = [
        &[],
        &[Op::Union],
        &[Op::Union, Op::Union],
        &[Op::More(loops::More::UnionInner)],
        &[Op::Join("fullouter")],
        &[Op::Join("rightouter")],
        &[Op::Join("leftouter")],
        &[Op::Lookup],
        &[Op::Rename(0), Op::Union],
        &[Op::Union, Op::Join("rightanti")],
    ];
    let counted: [&[Op]; 6] = [
        &[Op::Summarize(vec![1])],
        &[Op::Summarize(vec![0, 1])],
        &[Op::Distinct(vec![1])],
        &[Op::More(loops::More::DistinctAll)],
        &[Op::More(loops::More::Aggregates)],
        &[Op::Count],
    ];
    for begin in emptied {
        for middle in then {
            for end in counted {
                let ops = [&[nothing()], begin, middle, end].concat();
                for rows in [vec![], vec![one_row(2, "a"), one_row(1, "B"), one_row(2, "a")]] {
                    agrees(rows, vec![(1, 0), (3, 1)], &ops, 2).expect("agrees");
                }
            }
        }
    }
}
