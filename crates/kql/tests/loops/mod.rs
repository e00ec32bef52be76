//! More operators as plain loops.

use kql::{Type, Value};
use proptest::prelude::*;

use super::{Row, Rows, get};

/// An operator: what it is called here says what its text is.
#[derive(Clone, Debug)]
pub(crate) enum More {
    Reorder(usize),
    DistinctAll,
    UnionInner,
    Search(&'static str),
    Schema,
    Serialize,
    ParseWhere,
    SortNulls { is_ascending: bool, nulls_first: bool },
    ExpandSome(usize),
    ExpandTwo,
    Among,
    AmongRows(bool),
    Between(bool),
    Aggregates,
    Windows,
}

pub(crate) fn more() -> impl Strategy<Value = More> {
    let sort = (any::<bool>(), any::<bool>())
        .prop_map(|(is_ascending, nulls_first)| More::SortNulls { is_ascending, nulls_first });
    prop_oneof![
        (0_usize..8).prop_map(More::Reorder),
        Just(More::DistinctAll),
        Just(More::UnionInner),
        prop_oneof![Just("a"), Just("y"), Just("2")].prop_map(More::Search),
        Just(More::Schema),
        Just(More::Serialize),
        Just(More::ParseWhere),
        sort,
        (0_usize..3).prop_map(More::ExpandSome),
        Just(More::ExpandTwo),
        Just(More::Among),
        any::<bool>().prop_map(More::AmongRows),
        any::<bool>().prop_map(More::Between),
        Just(More::Aggregates),
        Just(More::Windows),
    ]
}

/// The text and the effect of an operator; `None` if it makes no sense here.
pub(crate) fn applied(more: &More, rows: &Rows, right: &Rows, all: &Rows) -> Option<(String, Rows)> {
    let mut out = rows.clone();
    let is = |name: &str, kind: Type| rows.has(name) && rows.kind(name) == kind;
    let text = match more {
        More::Reorder(place) => {
            let name = rows.columns[place % rows.columns.len()].0.clone();
            let others = rows.columns.iter().map(|(known, _)| known.clone()).filter(|known| *known != name);
            out.keep(&[vec![name.clone()], others.collect()].concat());
            format!("project-reorder {name}")
        }
        More::DistinctAll => {
            let mut seen: Vec<Row> = Vec::new();
            for row in &rows.rows {
                if !seen.contains(row) {
                    seen.push(row.clone());
                }
            }
            out.rows = seen;
            "distinct *".to_owned()
        }
        More::UnionInner => {
            let agree = rows.columns.iter().all(|(name, kind)| !all.has(name) || all.kind(name) == *kind);
            if rows.has("src") || rows.rows.len() > 200 || !agree {
                return None;
            }
            let shared: Vec<(String, Type)> =
                rows.columns.iter().filter(|(name, _)| all.has(name)).cloned().collect();
            let leg = |name: &'static str, from: &Rows| {
                let shared = shared.clone();
                let row = move |row: &Row| {
                    let own = shared.iter().map(|(name, _)| (name.clone(), get(row, name)));
                    [("src".to_owned(), Value::text(name))].into_iter().chain(own).collect::<Row>()
                };
                from.rows.iter().map(row).collect::<Vec<_>>()
            };
            out.rows = [leg("union_arg0", rows), leg("union_arg1", all)].concat();
            out.columns = [vec![("src".to_owned(), Type::String)], shared.clone()].concat();
            "union kind=inner withsource=src (T | where true)".to_owned()
        }
        More::Search(needle) => {
            let has = |value: &Value| {
                let text = value.to_text().to_lowercase();
                text.split(|it: char| !it.is_alphanumeric()).any(|term| term == *needle)
            };
            out.rows.retain(|row| row.iter().any(|(_, value)| has(value)));
            format!("search '{needle}'")
        }
        More::Schema => {
            let system = |kind: Type| match kind {
                Type::Long => "System.Int64",
                Type::Real => "System.Double",
                Type::String => "System.String",
                Type::Int => "System.Int32",
                _ => "System.Object",
            };
            let row = |(at, (name, kind)): (i64, &(String, Type))| {
                vec![
                    ("ColumnName".to_owned(), Value::text(name)),
                    ("ColumnOrdinal".to_owned(), Value::Long(at)),
                    ("DataType".to_owned(), Value::text(system(*kind))),
                    ("ColumnType".to_owned(), Value::text(kind.name())),
                ]
            };
            let columns = [
                ("ColumnName", Type::String),
                ("ColumnOrdinal", Type::Int),
                ("DataType", Type::String),
                ("ColumnType", Type::String),
            ];
            out.rows = (0..).zip(&rows.columns).map(row).collect();
            out.columns = columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
            "getschema".to_owned()
        }
        More::Serialize => {
            if !is("k", Type::Long) {
                return None;
            }
            out.set("g", Type::Long, |row| match get(row, "k") {
                Value::Long(k) => Value::Long(k * 2),
                other => other,
            });
            "serialize g = k * 2".to_owned()
        }
        More::ParseWhere => {
            if !is("s", Type::String) {
                return None;
            }
            out.rows.retain(|row| get(row, "s").to_text().contains(':'));
            let part = |row: &Row, second: bool| {
                let text = get(row, "s").to_text();
                let (one, other) = text.rsplit_once(':').expect("it was looked for");
                Value::text(if second { other } else { one })
            };
            out.set("p", Type::String, |row| part(row, false));
            out.set("q", Type::String, |row| part(row, true));
            "parse-where kind=regex s with p '[:]' q".to_owned()
        }
        More::SortNulls { is_ascending, nulls_first } => {
            if !is("v", Type::Long) || !is("k", Type::Long) {
                return None;
            }
            out.rows.sort_by(|one, other| {
                let (v, w) = (get(one, "v"), get(other, "v"));
                let by_nulls = match (v == Value::Null, w == Value::Null) {
                    (true, false) if *nulls_first => std::cmp::Ordering::Less,
                    (true, false) => std::cmp::Ordering::Greater,
                    (false, true) if *nulls_first => std::cmp::Ordering::Greater,
                    (false, true) => std::cmp::Ordering::Less,
                    _ if *is_ascending => v.cmp(&w),
                    _ => w.cmp(&v),
                };
                // Descending, and nulls last, if nothing is said.
                by_nulls.then_with(|| get(other, "k").cmp(&get(one, "k")))
            });
            let (way, nulls) =
                (if *is_ascending { "asc" } else { "desc" }, if *nulls_first { "first" } else { "last" });
            format!("sort by v {way} nulls {nulls}, k")
        }
        More::ExpandSome(limit) => {
            if !is("d", Type::Dynamic) || rows.has("i") || rows.has("e") {
                return None;
            }
            out.rows = Vec::new();
            for row in &rows.rows {
                for (at, element) in (0..).zip(elements(row)).take(*limit) {
                    let mut row = row.clone();
                    row.push(("e".to_owned(), element));
                    row.push(("i".to_owned(), Value::Long(at)));
                    out.rows.push(row);
                }
            }
            out.columns.push(("e".to_owned(), Type::Long));
            out.columns.push(("i".to_owned(), Type::Long));
            format!("mv-expand with_itemindex=i e = d.l to typeof(long) limit {limit}")
        }
        More::ExpandTwo => {
            if !is("d", Type::Dynamic) || rows.has("e") || rows.has("f") {
                return None;
            }
            out.rows = Vec::new();
            for row in &rows.rows {
                // The second has two elements always: side by side, the longer counts.
                let one = elements(row);
                for at in 0..one.len().max(2) {
                    let mut row = row.clone();
                    row.push(("e".to_owned(), one.get(at).cloned().unwrap_or(Value::Null)));
                    let other = [Value::text("x"), Value::text("y")];
                    row.push(("f".to_owned(), other.get(at).cloned().unwrap_or(Value::text(""))));
                    out.rows.push(row);
                }
            }
            out.columns.push(("e".to_owned(), Type::Dynamic));
            out.columns.push(("f".to_owned(), Type::String));
            "mv-expand e = d.l, f = dynamic(['x', 'y']) to typeof(string)".to_owned()
        }
        More::Among => {
            if !is("s", Type::String) {
                return None;
            }
            out.rows.retain(|row| ["b", "x:y"].contains(&get(row, "s").to_text().to_lowercase().as_str()));
            "where s in~ ('B', 'x:y')".to_owned()
        }
        More::AmongRows(is_negated) => {
            if !is("k", Type::Long) {
                return None;
            }
            let wanted: Vec<Value> = right.rows.iter().map(|row| get(row, "k")).collect();
            out.rows.retain(|row| wanted.contains(&get(row, "k")) != *is_negated);
            format!("where k {}in (U | project k)", if *is_negated { "!" } else { "" })
        }
        More::Between(is_negated) => {
            if !is("v", Type::Long) {
                return None;
            }
            // Of nothing nothing is known.
            out.rows
                .retain(|row| get(row, "v").as_long().is_some_and(|v| (0..=2).contains(&v) != *is_negated));
            format!("where v {}between (0 .. 2)", if *is_negated { "!" } else { "" })
        }
        More::Windows => {
            if !is("k", Type::Long) || !is("v", Type::Long) || rows.has("rn") {
                return None;
            }
            let of = |row: Option<&Row>, name: &str| row.map_or(Value::Null, |row| get(row, name));
            let (mut number, mut sum) = (0, 0);
            for (at, row) in rows.rows.iter().enumerate() {
                let before = at.checked_sub(1).and_then(|at| rows.rows.get(at));
                let is_new = of(before, "k") != get(row, "k") || before.is_none();
                number = if is_new { 1 } else { number + 1 };
                sum = if is_new { 0 } else { sum } + get(row, "v").as_long().unwrap_or(0);
                let made = [
                    ("rn", Value::Long(number)),
                    ("cs", Value::Long(sum)),
                    ("nx", of(rows.rows.get(at + 2), "v")),
                ];
                out.rows[at].extend(made.map(|(name, value)| (name.to_owned(), value)));
            }
            for name in ["rn", "cs", "nx"] {
                out.columns.push((name.to_owned(), Type::Long));
            }
            out.rows.retain(|row| get(row, "rn") != Value::Long(3));
            "serialize rn = row_number(1, k != prev(k)), cs = row_cumsum(v, prev(k) != k), nx = next(v, 2) | where rn != 3".to_owned()
        }
        More::Aggregates => {
            if !is("v", Type::Long) || !is("k", Type::Long) {
                return None;
            }
            let mut keys: Vec<Value> = Vec::new();
            for row in &rows.rows {
                if !keys.contains(&get(row, "k")) {
                    keys.push(get(row, "k"));
                }
            }
            let row = |key: &Value| {
                let members: Vec<i64> = rows
                    .rows
                    .iter()
                    .filter(|row| get(row, "k") == *key)
                    .filter_map(|row| get(row, "v").as_long())
                    .collect();
                let mut set: Vec<i64> = Vec::new();
                for value in &members {
                    if !set.contains(value) {
                        set.push(*value);
                    }
                }
                let array = |values: &[i64]| Value::array(values.iter().copied().map(Value::Long).collect());
                let count = |count: usize| Value::Long(i64::try_from(count).expect("small"));
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let mean = members.iter().sum::<i64>() as f64 / members.len() as f64;
                let mut sorted = members.clone();
                sorted.sort_unstable();
                let half = sorted.get(members.len().div_ceil(2).saturating_sub(1));
                vec![
                    ("k".to_owned(), key.clone()),
                    ("all_".to_owned(), array(&members)),
                    ("two".to_owned(), array(&members[..members.len().min(2)])),
                    ("set_".to_owned(), array(&set)),
                    ("some".to_owned(), count(members.iter().filter(|value| **value > 0).count())),
                    ("mean".to_owned(), Value::Real(mean)),
                    ("half".to_owned(), half.map_or(Value::Null, |value| Value::Long(*value))),
                ]
            };
            out.rows = keys.iter().map(row).collect();
            out.columns = [
                ("k", Type::Long),
                ("all_", Type::Dynamic),
                ("two", Type::Dynamic),
                ("set_", Type::Dynamic),
                ("some", Type::Long),
                ("mean", Type::Real),
                ("half", Type::Long),
            ]
            .map(|(name, kind)| (name.to_owned(), kind))
            .to_vec();
            "summarize all_ = make_list(v), two = make_list(v, 2), set_ = make_set(v), some = countif(v > 0), \
             mean = avg(v), half = percentile(v, 50) by k"
                .to_owned()
        }
    };
    Some((text, out))
}

/// What `mv-expand` makes of `d.l`: of nothing one row.
fn elements(row: &Row) -> Vec<Value> {
    match get(row, "d").member("l") {
        Some(Value::Array(items)) => items.to_vec(),
        other => vec![other.cloned().unwrap_or(Value::Null)],
    }
}
