//! Any text as a query over small tables: never a panic, never without end. As it is optimised, over columns as the
//! real tables have them, it answers as it does unoptimised over plain values.
#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kql::{
    Batch, Codes, Column, Dictionary, Document, Layer, Settings, Source, Stem, Stemmed, Stems, Table,
    TableColumn, Texts, Type, Value,
};

struct Small {
    columns: Vec<TableColumn>,
    /// Plain values, or columns as the real tables have them.
    is_plain: bool,
    names: Arc<Dictionary>,
    stems: Arc<Stems>,
    layers: [Arc<Texts>; 2],
}

impl Small {
    fn new(columns: Vec<TableColumn>, is_plain: bool) -> Self {
        let names = Dictionary::of((0..4).map(|name| Value::text(format!("name {name}"))));
        let stem = |text: &str, has_tail| Stem { text: Arc::from(text), has_tail };
        let stems = [stem("/subscriptions/a/assessments/", true), stem("name ", true), stem("Name é", false)];
        let texts =
            |texts: &[&str]| Arc::new(Texts::new(texts.iter().map(|text| Arc::from(*text)).collect()));
        let layers = [
            texts(&[r#"{"a":{"b":[1,"x",null]},"s":"1"}"#, r#"{"a":{"c":{"d":2.5}},"s":null,"s2":[]}"#]),
            texts(&["{}", r#"{"a":{"e":"name 1"},"t":"2024-01-02T03:04:05Z"}"#, r#"{"a":7}"#]),
        ];
        Self { columns, is_plain, names: Arc::new(names), stems: Arc::new(Stems::new(stems.into())), layers }
    }
}

impl Table for Small {
    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        Box::new((0..3_u32).map(move |batch| {
            let rows = [batch * 2, batch * 2 + 1];
            let column = |value: &dyn Fn(i64) -> Value| {
                Column::plain(rows.iter().map(|row| value((*row).into())).collect())
            };
            let codes = |of: u32| -> Codes { Arc::new(rows.iter().map(|row| row % of).collect()) };
            let layer = |at: usize, of: u32| Layer { codes: codes(of), texts: Arc::clone(&self.layers[at]) };
            let tails = rows.map(|row| uuid::Uuid::from_u128(u128::from(row % 5) << 64 | 0xab));
            let columns = vec![
                Column::Coded { codes: codes(4), values: Arc::clone(&self.names) },
                column(&|row| Value::Long(row - 2)),
                column(&|row| if row == 3 { Value::Null } else { Value::Real(row as f64 / 3.0) }),
                column(&|row| Value::DateTime(row * 1_000_000_000_000)),
                Column::Document(Document::new(vec![layer(0, 2), layer(1, 3)])),
                column(&|row| Value::Bool(row % 2 == 0)),
                Column::Stemmed(Stemmed {
                    codes: codes(3),
                    stems: Arc::clone(&self.stems),
                    tails: Arc::new(tails.to_vec()),
                }),
            ];
            let plain = |it: Column| if self.is_plain { column(&|row| it.get(row as usize % 2)) } else { it };
            Batch { rows: 2, columns: columns.into_iter().map(plain).collect() }
        }))
    }
}

struct Tables {
    is_plain: bool,
}

impl Source for Tables {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        let kinds = [
            ("name", Type::String),
            ("n", Type::Long),
            ("r", Type::Real),
            ("at", Type::DateTime),
            ("properties", Type::Dynamic),
            ("is", Type::Bool),
            ("id", Type::String),
        ];
        let column = |(name, kind): (&str, Type)| TableColumn {
            name: name.into(),
            kind,
            ignores_case: name == "name",
        };
        matches!(name, "T" | "resources")
            .then(|| Arc::new(Small::new(kinds.map(column).into(), self.is_plain)) as Arc<dyn Table>)
    }

    fn saved_query(&self, id: &str) -> Option<String> {
        (id == "q").then(|| "T | where n > 0".to_owned())
    }
}

fn run(text: &str, optimises: bool) -> Result<Vec<Vec<String>>, ()> {
    let asked = AtomicU32::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) > 2000;
    let settings = Settings { now: 0, memory_bytes_max: 16 << 20, stop: &stop };
    let answer =
        kql::run_with(text, &Tables { is_plain: !optimises }, &settings, optimises).map_err(|_| ())?;
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
