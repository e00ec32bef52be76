//! Any text as a query over small tables, with and without the optimiser: never a panic, never without end,
//! and the same answer both ways.
#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kql::{Batch, Column, Settings, Source, Table, TableColumn, Type, Value};

struct Small(Vec<TableColumn>);

impl Table for Small {
    fn columns(&self) -> &[TableColumn] {
        &self.0
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let json = |text: &str| Value::parse_json(text).unwrap_or(Value::Null);
        Box::new((0..3_i64).map(move |batch| {
            let rows = [batch * 2, batch * 2 + 1];
            let column = |value: &dyn Fn(i64) -> Value| Column::plain(rows.iter().map(|row| value(*row)).collect());
            let columns = vec![
                column(&|row| Value::text(format!("name {}", row % 4))),
                column(&|row| Value::Long(row - 2)),
                column(&|row| if row == 3 { Value::Null } else { Value::Real(row as f64 / 3.0) }),
                column(&|row| Value::DateTime(row * 1_000_000_000_000)),
                column(&|row| json(&format!(r#"{{"a":{{"b":[{row},"x",null]}},"s":"{row}"}}"#))),
                column(&|row| Value::Bool(row % 2 == 0)),
            ];
            Batch { rows: 2, columns }
        }))
    }
}

struct Tables;

impl Source for Tables {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        let kinds = [
            ("name", Type::String),
            ("n", Type::Long),
            ("r", Type::Real),
            ("at", Type::DateTime),
            ("properties", Type::Dynamic),
            ("is", Type::Bool),
        ];
        let column = |(name, kind): (&str, Type)| TableColumn { name: name.into(), kind, ignores_case: name == "name" };
        matches!(name, "T" | "resources").then(|| Arc::new(Small(kinds.map(column).into())) as Arc<dyn Table>)
    }

    fn saved_query(&self, id: &str) -> Option<String> {
        (id == "q").then(|| "T | where n > 0".to_owned())
    }
}

fn run(text: &str, optimises: bool) -> Result<Vec<Vec<String>>, ()> {
    let asked = AtomicU32::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) > 2000;
    let settings = Settings { now: 0, memory_bytes_max: 16 << 20, stop: &stop };
    let answer = kql::run_with(text, &Tables, &settings, optimises).map_err(|_| ())?;
    let rows = (0..answer.rows.min(1000)).map(|row| answer.row(row).iter().map(Value::to_text).collect());
    Ok(rows.collect())
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let optimised = run(text, true);
    let naive = run(text, false);
    // What stops for its limits may stop elsewhere.
    if let (Ok(optimised), Ok(naive)) = (optimised, naive) {
        assert_eq!(optimised, naive, "{text:?}");
    }
});
