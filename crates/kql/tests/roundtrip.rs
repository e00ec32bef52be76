//! What is printed reads back as the same tree.

use kql::syntax::{
    AmongKind, Expand, Expr, Join, JoinKind, Let, LetValue, Named, Operator, Others, Parse, ParseKind,
    ParsePart, Pipeline, Query, SortKey, Source, Step, Test, TestKind, Union,
};
use kql::{Type, Value};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,4}",
        Just("where".to_owned()),
        Just("count".to_owned()),
        Just("a b".to_owned()),
        Just("datetime".to_owned()),
        Just("in".to_owned()),
        Just("it's \"quoted\" \\ n".to_owned()),
    ]
}

fn literal() -> impl Strategy<Value = Expr> {
    prop_oneof![
        any::<i64>().prop_map(|number| Expr::Literal(Type::Long, Value::Long(number))),
        (-1e9..1e9).prop_map(|number| Expr::Literal(Type::Real, Value::Real(number))),
        any::<bool>().prop_map(|truth| Expr::Literal(Type::Bool, Value::Bool(truth))),
        ".{0,8}".prop_map(|text| Expr::Literal(Type::String, Value::text(text))),
        (0_i64..4_000_000_000)
            .prop_map(|s| Expr::Literal(Type::DateTime, Value::DateTime(s * 10_000_000 + 7))),
        (-1_000_000_000_000_i64..1_000_000_000_000)
            .prop_map(|ticks| Expr::Literal(Type::TimeSpan, Value::TimeSpan(ticks))),
        Just(Expr::Literal(Type::Long, Value::Null)),
        dynamic().prop_map(|value| Expr::Literal(Type::Dynamic, value)),
    ]
}

fn dynamic() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Long),
        ".{0,4}".prop_map(Value::text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::array),
            proptest::collection::vec((".{0,3}", inner), 0..3).prop_map(|members| Value::object(
                members.into_iter().map(|(name, value)| (name.into(), value)).collect()
            )),
        ]
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![literal(), name().prop_map(Expr::Name), Just(Expr::TypeOf(Type::Guid))];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let operator = prop_oneof![
            Just(Operator::Add),
            Just(Operator::Divide),
            Just(Operator::Equal),
            Just(Operator::NotEqual),
            Just(Operator::GreaterOrEqual),
            (any::<bool>(), any::<bool>()).prop_map(|(is_negated, is_cased)| {
                Operator::Text(Test { kind: TestKind::HasPrefix, is_negated, is_cased })
            }),
            any::<bool>().prop_map(|is_negated| {
                Operator::Text(Test { kind: TestKind::Equal, is_negated, is_cased: false })
            }),
            any::<bool>().prop_map(|is_negated| {
                Operator::Text(Test { kind: TestKind::Matches, is_negated, is_cased: true })
            }),
        ];
        let many = || proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (operator, boxed(), boxed())
                .prop_map(|(operator, left, right)| Expr::Binary(operator, left, right)),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            ("[a-z]{3,6}x", many()).prop_map(|(name, arguments)| Expr::Call(name, arguments)),
            ("[a-z]{3,6}x", many(), name(), boxed()).prop_map(|(name, mut arguments, label, value)| {
                arguments.push(Expr::Named(label, value));
                Expr::Call(name, arguments)
            }),
            (name(), ".{0,4}").prop_map(|(of, member)| Expr::Member(Box::new(Expr::Name(of)), member)),
            (name(), boxed()).prop_filter_map("a text is a member", |(of, at)| {
                (!matches!(*at, Expr::Literal(Type::String, _)))
                    .then(|| Expr::Index(Box::new(Expr::Name(of)), at))
            }),
            (any::<bool>(), any::<bool>(), boxed(), many()).prop_map(
                |(is_negated, is_cased, left, others)| Expr::Among {
                    kind: AmongKind::In,
                    is_negated,
                    is_cased,
                    left,
                    others: Others::List(others),
                }
            ),
            (any::<bool>(), boxed(), boxed(), boxed())
                .prop_map(|(is_negated, value, from, to)| Expr::Between { is_negated, value, from, to }),
        ]
    })
}

fn named() -> impl Strategy<Value = Vec<Named>> {
    let one = (proptest::option::of(name()), expr());
    let one = one.prop_map(|(name, expr)| Named { names: name.into_iter().collect(), expr });
    proptest::collection::vec(one, 1..3)
}

fn step() -> impl Strategy<Value = Step> {
    let key = || {
        let parts = (expr(), any::<bool>(), any::<bool>());
        parts.prop_map(|(expr, is_ascending, nulls_first)| SortKey { expr, is_ascending, nulls_first })
    };
    let keys = || proptest::collection::vec(key(), 1..3);
    let table =
        || name().prop_map(|name| Pipeline { source: Source::Named(name), steps: vec![Step::Count(None)] });
    prop_oneof![
        expr().prop_map(Step::Where),
        named().prop_map(Step::Extend),
        named().prop_map(Step::Project),
        proptest::collection::vec(prop_oneof![name(), Just("a*b".to_owned()), Just("*".to_owned())], 1..3)
            .prop_map(Step::ProjectAway),
        proptest::collection::vec((name(), name()), 1..3).prop_map(Step::ProjectRename),
        (named(), named()).prop_map(|(aggregates, by)| Step::Summarize { aggregates, by }),
        named().prop_map(|list| Step::Distinct(Some(list))),
        proptest::option::of(name()).prop_map(Step::Count),
        (expr(), keys()).prop_map(|(count, keys)| Step::Top(count, keys)),
        keys().prop_map(Step::Sort),
        expr().prop_map(Step::Take),
        (table(), name(), name(), any::<bool>()).prop_map(|(right, one, other, is_lookup)| Step::Join(
            Join {
                kind: JoinKind::LeftOuter,
                is_lookup,
                right: Box::new(right),
                on: vec![(Expr::Name(one), Expr::Name(other))],
            }
        )),
        proptest::collection::vec(table(), 1..3).prop_map(|legs| Step::Union(Union {
            is_inner: true,
            source_column: Some("leg".to_owned()),
            legs
        })),
        (named(), any::<bool>(), proptest::option::of(Just(Type::Long)), proptest::option::of(expr()))
            .prop_map(|(list, as_pairs, kind, limit)| Step::MvExpand(Expand {
                as_pairs,
                index: as_pairs.then(|| "at".to_owned()),
                items: list.into_iter().map(|named| (named, kind)).collect(),
                limit,
            })),
        (expr(), ".{1,4}", name(), any::<bool>()).prop_map(|(expr, text, column, is_where)| Step::Parse(
            Parse {
                kind: ParseKind::Relaxed,
                flags: None,
                is_where,
                expr,
                pattern: vec![ParsePart::Skip, ParsePart::Text(text), ParsePart::Column(column, Type::Long)],
            }
        )),
        Just(Step::GetSchema),
    ]
}

proptest! {
    #![proptest_config(testkit::cases(300))]

    #[test]
    fn what_is_printed_reads_back_as_the_same(
        source in name(), steps in proptest::collection::vec(step(), 0..4), let_name in name(), let_value in expr(),
    ) {
        let lets = vec![Let { name: let_name, value: LetValue::Scalar(let_value) }];
        let query = Query { lets, body: Pipeline { source: Source::Named(source), steps } };
        let text = query.to_string();
        let again = match kql::parse(&text) {
            Ok(again) => again,
            Err(error) => return Err(TestCaseError::fail(format!("{text}\n{error}"))),
        };
        prop_assert_eq!(again, query, "{}", text);
    }
}

/// What fuzzing found to print as something else.
#[test]
fn a_union_in_a_calls_arguments_stays_one() {
    for text in ["a(union\nisn)", "a(union (isn), b)", "a(union)", "a(union (isn), b, c)"] {
        let printed = kql::parse(text).unwrap().to_string();
        assert_eq!(printed, kql::parse(&printed).unwrap().to_string(), "{text}");
    }
}

#[test]
fn a_union_of_a_name_that_is_none_is_refused_and_not_called() {
    assert!(kql::parse("sig(union(be), g, union)").is_err());
    assert!(kql::parse("sig(union(be), g, ['union'])").is_ok());
}

#[test]
fn a_date_of_five_digits_prints_as_it_is_read() {
    for text in [
        "T | where a < date(02040)",
        "T | where a < date(0040)",
        "T | where a < datetime(99999)",
        "T | where a < date(20405)",
    ] {
        let printed = kql::parse(text).unwrap().to_string();
        assert_eq!(kql::parse(&printed).unwrap().to_string(), printed, "{text}");
    }
}

/// Some places are read in two ways; which one it is must not depend on how many levels are left.
#[test]
fn near_the_limit_there_is_one_reading_or_none() {
    let mut read = 0;
    for levels in 1..60 {
        for inner in ["union n, g(union m, h(k))", "(union (n), (k))", "union n, u"] {
            let text = format!("f({}{inner}{})", "(g(".repeat(levels), "))".repeat(levels));
            if let Ok(query) = kql::parse(&text) {
                read += 1;
                let printed = query.to_string();
                if let Ok(again) = kql::parse(&printed) {
                    assert_eq!(again.to_string(), printed, "{text}");
                }
            }
        }
    }
    assert!(read > 10, "{read}");
}
