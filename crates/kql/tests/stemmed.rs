//! Texts that share their beginnings, as ids come, against the same texts in plain columns.

mod one;

use std::sync::Arc;

use kql::{Batch, Column, Stem, Stemmed, Stems, Table, TableColumn, Type, Value};
use uuid::Uuid;

const ROWS: u32 = 40;
const BATCH: u32 = 7;
const STEMS: &[(&str, bool)] = &[
    ("/subscriptions/1/registries/Web/providers/Microsoft.Security/assessments/KEY-1/subAssessments/", true),
    ("/subscriptions/1/registries/api/providers/Microsoft.Security/assessments/key-2/subAssessments/", true),
    ("/subscriptions/2/registries/Ähre/providers/Microsoft.Security/assessments/key-2/subAssessments/", true),
    ("/subscriptions/2/registries/api", false),
    ("", true),
];

struct Ids {
    columns: Vec<TableColumn>,
    stems: Arc<Stems>,
    is_stemmed: bool,
}

impl Table for Ids {
    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let begins = (0..ROWS).step_by(BATCH as usize);
        Box::new(begins.map(|begin| {
            let rows = begin..ROWS.min(begin + BATCH);
            let codes: Vec<u32> =
                rows.clone().map(|row| row % u32::try_from(STEMS.len()).expect("a few")).collect();
            let tail = |row: u32| {
                Uuid::from_u128(u128::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
            };
            let texts = Stemmed {
                codes: Arc::new(codes),
                stems: Arc::clone(&self.stems),
                tails: Arc::new(rows.clone().map(tail).collect()),
            };
            let len = rows.len();
            let plain = || Column::plain((0..len).map(|row| Value::text(texts.text(row))).collect());
            let id = if self.is_stemmed { Column::Stemmed(texts.clone()) } else { plain() };
            let number = Column::plain(rows.map(|row| Value::Long(i64::from(row % 3))).collect());
            Batch { rows: len, columns: vec![id, number] }
        }))
    }
}

fn answer(query: &str, is_stemmed: bool) -> Vec<String> {
    let column = |name: &str, kind| TableColumn { name: name.into(), kind, ignores_case: false };
    let stem = |(text, has_tail): &(&str, bool)| Stem { text: Arc::from(*text), has_tail: *has_tail };
    let table = Ids {
        columns: vec![column("id", Type::String), column("n", Type::Long)],
        stems: Arc::new(Stems::new(STEMS.iter().map(stem).collect())),
        is_stemmed,
    };
    let answer = one::answer(query, table);
    let show = |row: usize| {
        answer.row(row).iter().map(|value| value.to_json().to_string()).collect::<Vec<_>>().join(" ")
    };
    let mut rows: Vec<String> = (0..answer.rows).map(show).collect();
    rows.sort();
    rows
}

#[test]
fn they_answer_alike() {
    let expressions = [
        "extract('.*assessments/(.+?)/.*', 1, id)",
        "extract(@'(?i)/registries/([^/]+)', 1, id)",
        "extract('subAssessments/(.*)', 1, id)",
        "extract('subAssessments/([0-9a-f])', 1, id)",
        "extract('key-(\\\\d)', 1, id, typeof(long))",
        "id matches regex 'assessments/key-[0-9]/'",
        "id matches regex 'subAssessments/[0-7]'",
        "id !contains 'KEY-2'",
        "id contains 'a1'",
        "id startswith '/subscriptions/2/'",
        "id startswith_cs '/Subscriptions/2/'",
        "id startswith '0'",
        "id endswith 'api'",
        "id has 'registries'",
        "id == '/subscriptions/2/registries/api'",
        "id == '00000000-0000-0000-0000-000000000000'",
        "id != '/subscriptions/2/registries/API'",
        "id =~ '/SUBSCRIPTIONS/2/registries/API'",
        "id in ('/subscriptions/2/registries/api', '')",
        "split(id, '/')[4]",
        "split(id, '/')[-1]",
        "split(id, '/')[-2]",
        "split(id, '/')[99]",
        "split(id, 'a')[2]",
        "tolower(split(id, '/')[4])",
        "tolower(id)",
        "extract('registries/([a-z]+)', 1, tolower(id))",
        "toupper(id)",
        "strcat(id, '!')",
        "strlen(id)",
        "tostring(id)",
        "isempty(id)",
        "id > '/subscriptions/2'",
        "substring(id, 3, 20)",
    ];
    for expression in expressions {
        for query in [
            format!("t | extend x = {expression} | project id, n, x"),
            format!(
                "t | extend x = tostring({expression}) | where isnotempty(x) | summarize count(), dcount(id), min(id) by x"
            ),
            format!("t | where tostring({expression}) contains 'e' | summarize make_set(id) by n"),
            format!(
                "t | where n == 1 | extend x = tostring({expression}) | join kind=inner (t | extend x = tostring({expression}) | where n == 2) on x | project id, id1"
            ),
        ] {
            assert_eq!(answer(&query, true), answer(&query, false), "{query}");
        }
    }
    for query in [
        "t | parse id with * 'registries/' registry '/' * | project id, registry",
        "t | parse id with before '/providers/' * | project id, before",
        "t | parse id with * 'subAssessments/' name | project id, name",
        "t | parse id with '/subscriptions/' subscription:long '/' * | project id, subscription",
        "t | parse id with * 'a' x 'b' * | project id, x",
        "t | summarize count() by id",
        "t | distinct id | order by id asc",
        "t | top 5 by id desc",
        "t | join kind=leftouter (t | where n == 1) on id | project id, id1, n1",
        "t | union (t | where n == 0) | project id",
        "t | mv-expand m = range(0, n, 1) | project id, m",
        "t | summarize arg_max(n, id)",
    ] {
        assert_eq!(answer(query, true), answer(query, false), "{query}");
    }
}

#[test]
fn a_pattern_that_is_none_is_refused_as_ever() {
    for is_stemmed in [true, false] {
        let refused = std::panic::catch_unwind(|| answer("t | extend x = extract('(', 1, id)", is_stemmed));
        let told = *refused.unwrap_err().downcast::<String>().unwrap();
        assert!(told.contains("not a regular expression"), "{told}");
    }
}
