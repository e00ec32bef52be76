//! Documents of layers against the same documents in a plain column.

mod one;

use std::sync::Arc;

use kql::{Batch, Column, Document, Layer, Table, TableColumn, Texts, Type, Value};

const BELOW: [&str; 2] = [
    r#"{"a":{"b":[1,"x",null],"c":{"d":1}},"s":"1"}"#,
    r#"{"a":{"c":{"d":2.5}},"s":null,"t":{"x\n":1,"y":2}}"#,
];
const ABOVE: [&str; 6] = [
    r#"{"t":{"z":{"x":1},"y":null}}"#,
    r#"{"a":{"e":"name 1"},"t":{}}"#,
    // What is no bag hides the whole of what is below it.
    r#"{"a":7}"#,
    r#"{"a":{"c":"text"}}"#,
    r#"{"a":null,"s":null,"h":"no"}"#,
    r#"{"v":"apart","w":"covers\nnext"}"#,
];

struct Documents {
    columns: Vec<TableColumn>,
    is_plain: bool,
}

impl Table for Documents {
    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let layer = |of: &[&str]| Layer {
            codes: Arc::new((0..12_u32).map(|row| row % u32::try_from(of.len()).expect("few")).collect()),
            texts: Arc::new(Texts::new(of.iter().map(|text| Arc::from(*text)).collect())),
        };
        let layered = Column::Document(Document::new(vec![layer(&BELOW), layer(&ABOVE)]));
        let plain = || Column::plain((0..12).map(|row| layered.get(row)).collect());
        let column = if self.is_plain { plain() } else { layered };
        Box::new(std::iter::once(Batch { rows: 12, columns: vec![column] }))
    }
}

fn answer(query: &str, is_plain: bool) -> Vec<Vec<Value>> {
    let columns = vec![TableColumn { name: "p".into(), kind: Type::Dynamic, ignores_case: false }];
    let answer = one::answer(query, Documents { columns, is_plain });
    (0..answer.rows).map(|row| answer.row(row)).collect()
}

#[test]
fn a_member_is_what_it_is_in_the_whole_document() {
    for query in [
        "t | project p",
        "t | project p.a",
        "t | project p.a.b",
        "t | project p.a.c.d, p.a.c, p.a.e, p.s",
        "t | project tostring(parse_json(p).a.c.d)",
        "t | mv-expand p.a.b",
        "t | where p.a.c.d == 1 | count",
        "t | where p.a contains 'name' | project p.a.e",
        "t | where p contains 'name' | project p",
        "t | where p !contains 'below' | project p",
        "t | where p has 'below' | project p",
        "t | where p has 'belo' | project p",
        "t | where p has_cs 'Hidden' | project p",
        "t | where p has_cs 'hidden' | project p",
        "t | where p.t contains 'below' or p.w contains 'covered' | project p",
        "t | where * contains 'covered' | project p",
        "t | where p.w contains 'nnext' | project p",
        "t | where p contains 'nnext' | project p",
        "t | mv-apply k = bag_keys(p.a) on (summarize count() by tostring(k))",
        "t | project bag_keys(p), bag_keys(p.t), bag_keys(p.t.z), bag_keys(p.nothing), bag_keys(p.s)",
        "t | mv-expand k = bag_keys(p.t) to typeof(string) | summarize count() by k",
        "t | summarize count() by tostring(p.a.c)",
    ] {
        assert_eq!(answer(query, false), answer(query, true), "{query}");
    }
    let names = answer("t | take 1 | project bag_keys(p), bag_keys(p.t)", false);
    let names: Vec<String> = names.iter().flatten().map(|value| value.to_json().to_string()).collect();
    assert_eq!(names, [r#"["a","s","t"]"#, r#"["z","y"]"#]);
    let hidden = answer("t | where isnull(p.a.b) and isnotnull(p.a) | project p.a | take 20", false);
    assert!(hidden.iter().flatten().any(|value| *value == Value::Long(7)), "{hidden:?}");
}
