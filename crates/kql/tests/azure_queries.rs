//! Queries as Azure's users write them (samples, workbooks, scripts), over tables such as Azure has.
//!
//! What each comes to is in `azure/answers.txt`; `LAZARET_BLESS=1` writes it anew, to be read by a person.

use std::path::Path;
use std::sync::Arc;

use kql::{Batch, Column, Settings, Source, Table, TableColumn, Type, Value};

const TEXTS: [&str; 9] =
    ["id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId", "managedBy"];
const DOCUMENTS: [&str; 7] = ["sku", "plan", "properties", "tags", "identity", "zones", "extendedLocation"];

struct Azure(serde_json::Value);

struct Rows {
    columns: Vec<TableColumn>,
    rows: Vec<Vec<Value>>,
}

impl Table for Rows {
    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        Box::new(self.rows.chunks(3).map(|rows| {
            let column = |at: usize| Column::plain(rows.iter().map(|row| row[at].clone()).collect());
            Batch { rows: rows.len(), columns: (0..self.columns.len()).map(column).collect() }
        }))
    }
}

impl Source for Azure {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        let documents = self.0.get(name.to_ascii_lowercase())?.as_array()?;
        let column =
            |name: &str, kind: Type| TableColumn { name: name.into(), kind, ignores_case: name == "type" };
        let texts = TEXTS.iter().map(|name| column(name, Type::String));
        let columns = texts.chain(DOCUMENTS.iter().map(|name| column(name, Type::Dynamic))).collect();
        let row = |document: &serde_json::Value| {
            let texts = TEXTS.iter().map(|name| Value::text(document[name].as_str().unwrap_or_default()));
            texts.chain(DOCUMENTS.iter().map(|name| Value::from_json(&document[name]))).collect()
        };
        Some(Arc::new(Rows { columns, rows: documents.iter().map(row).collect() }))
    }

    fn saved_query(&self, id: &str) -> Option<String> {
        (id == "/subscriptions/1/resourceGroups/g/providers/Microsoft.ResourceGraph/queries/vms")
            .then(|| "resources | where type == 'microsoft.compute/virtualmachines'".to_owned())
    }
}

/// 2026-07-01T00:00:00Z, in ticks.
const NOW: i64 = 1_782_864_000 * 10_000_000;

fn shown(query: &str, azure: &Azure) -> String {
    let settings = Settings { now: NOW, memory_bytes_max: 64 << 20, stop: &|| false };
    match kql::run(query, azure, &settings) {
        Ok(answer) => {
            let names = answer.columns.iter().map(|column| format!("{}:{}", column.name, column.kind.name()));
            let mut lines = vec![names.collect::<Vec<_>>().join(" | ")];
            for row in 0..answer.rows {
                let cells = answer.row(row).into_iter().map(|value| value.to_json().to_string());
                lines.push(cells.collect::<Vec<_>>().join(" | "));
            }
            lines.join("\n  ")
        }
        Err(error) => {
            let detail = |it: &kql::Detail| match &it.position {
                Some(at) => format!("{} {}:{} {}", it.code.name(), at.line, at.character, at.token),
                None => format!("{} {}", it.code.name(), it.message),
            };
            error.details.iter().map(detail).collect::<Vec<_>>().join("\n  ")
        }
    }
}

#[test]
fn queries_of_azures_users_come_to_what_they_come_to_there() {
    let azure = Azure(serde_json::from_str(include_str!("azure/tables.json")).expect("JSON"));
    let mut found = String::new();
    for query in include_str!("azure/queries.kql").split("\n\n").map(str::trim).filter(|it| !it.is_empty()) {
        found.push_str(&format!("{query}\n  {}\n\n", shown(query, &azure)));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure/answers.txt");
    if std::env::var_os("LAZARET_BLESS").is_some() {
        std::fs::write(&path, &found).expect("writes");
    }
    let wanted = std::fs::read_to_string(&path).expect("the results that a person has read");
    let (found, wanted): (Vec<&str>, Vec<&str>) =
        (found.split("\n\n").collect(), wanted.split("\n\n").collect());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.len(), wanted.len());
}
