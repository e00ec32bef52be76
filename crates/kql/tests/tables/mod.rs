//! Small tables to ask.

use std::sync::Arc;

use kql::{Answer, Batch, Column, QueryError, Settings, Source, Table, TableColumn, Type, Value};

pub(crate) struct Tables;

struct Small {
    columns: Vec<TableColumn>,
    rows: Vec<Vec<Value>>,
}

impl Table for Small {
    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        // Two rows a batch, so that more than one batch is seen.
        Box::new(self.rows.chunks(2).map(|rows| {
            let column = |at: usize| Column::plain(rows.iter().map(|row| row[at].clone()).collect());
            Batch { rows: rows.len(), columns: (0..self.columns.len()).map(column).collect() }
        }))
    }
}

impl Source for Tables {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        let json = |text: &str| Value::parse_json(text).expect("JSON");
        let column =
            |name: &str, kind: Type| TableColumn { name: name.into(), kind, ignores_case: name == "type" };
        let table = match name.to_ascii_lowercase().as_str() {
            "t" | "resources" => Small {
                columns: vec![
                    column("name", Type::String),
                    column("kind", Type::String),
                    column("n", Type::Long),
                    column("d", Type::Dynamic),
                    column("l", Type::Dynamic),
                ],
                rows: vec![
                    vec![
                        Value::text("a"),
                        Value::text("x"),
                        Value::Long(1),
                        json(r#"{"s":1}"#),
                        json("[1,2]"),
                    ],
                    vec![
                        Value::text("b"),
                        Value::text("x"),
                        Value::Long(2),
                        json(r#"{"s":2,"deep":{"x":5}}"#),
                        json("[]"),
                    ],
                    vec![Value::text("c"), Value::text("y"), Value::Long(3), Value::Null, Value::Null],
                ],
            },
            "u" => Small {
                columns: vec![column("name", Type::String), column("v", Type::Long)],
                rows: vec![
                    vec![Value::text("a"), Value::Long(1)],
                    vec![Value::text("a"), Value::Long(2)],
                    vec![Value::text("b"), Value::Long(3)],
                ],
            },
            _ => return None,
        };
        Some(Arc::new(table))
    }

    fn saved_query(&self, id: &str) -> Option<String> {
        (id == "known").then(|| "T | where n > 1".to_owned())
    }
}

/// 2026-07-01T00:00:00Z, in ticks.
pub(crate) const NOW: i64 = 1_782_864_000 * 10_000_000;

pub(crate) fn run(query: &str) -> Result<Answer, QueryError> {
    kql::run(query, &Tables, &Settings { now: NOW, memory_bytes_max: 64 << 20, stop: &|| false })
}

pub(crate) fn show(answer: &Answer) -> String {
    let mut lines =
        vec![answer.columns.iter().map(|column| column.name.to_string()).collect::<Vec<_>>().join(",")];
    for row in 0..answer.rows {
        let cells = answer.row(row).into_iter().map(|value| match value {
            Value::Null => "null".to_owned(),
            value => value.to_text(),
        });
        lines.push(cells.collect::<Vec<_>>().join(","));
    }
    lines.join("\n")
}

/// The answer as comma-separated lines.
pub(crate) fn ask(query: &str) -> String {
    match run(query) {
        Ok(answer) => show(&answer),
        Err(error) => format!("error: {error}"),
    }
}

pub(crate) fn error(query: &str) -> QueryError {
    run(query).expect_err(query)
}

/// As the door runs them: stopped after so many looks whether to go on.
pub(crate) fn run_bounded(query: &str) -> Result<Answer, QueryError> {
    let looks = std::sync::atomic::AtomicU32::new(0);
    let stop = || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 1000;
    kql::run(query, &Tables, &Settings { now: NOW, memory_bytes_max: 64 << 20, stop: &stop })
}
