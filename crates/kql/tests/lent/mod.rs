//! Tables of plain rows, as a store would lend them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kql::{Batch, Column, Dictionary, Document, Layer, Source, Table, TableColumn, Texts, Type, Value};

use super::{Row, Rows, get};

/// Tables of these rows, in plain columns or in codes and documents.
pub(crate) struct Tables {
    pub(crate) tables: BTreeMap<&'static str, Rows>,
    pub(crate) is_coded: bool,
    pub(crate) batch: usize,
}

struct Lent {
    columns: Vec<TableColumn>,
    rows: Vec<Row>,
    is_coded: bool,
    batch: usize,
    dictionaries: Vec<(Arc<Dictionary>, Vec<Value>)>,
    texts: Vec<Arc<Texts>>,
}

impl Source for Tables {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        let rows = self.tables.get(name)?;
        let columns: Vec<TableColumn> = rows
            .columns
            .iter()
            .map(|(name, kind)| TableColumn { name: name.as_str().into(), kind: *kind, ignores_case: false })
            .collect();
        let dictionaries = rows.columns.iter().map(|(name, _)| {
            let mut values: Vec<Value> = rows.rows.iter().map(|row| get(row, name)).collect();
            values.sort();
            values.dedup();
            (Arc::new(Dictionary::of(values.iter().cloned())), values)
        });
        let texts = rows.columns.iter().map(|(name, _)| {
            let texts = rows.rows.iter().map(|row| Arc::from(get(row, name).to_json().to_string()));
            Arc::new(Texts::new(texts.collect()))
        });
        Some(Arc::new(Lent {
            dictionaries: dictionaries.collect(),
            texts: texts.collect(),
            columns,
            rows: rows.rows.clone(),
            is_coded: self.is_coded,
            batch: self.batch,
        }))
    }

    fn saved_query(&self, _: &str) -> Option<String> {
        None
    }
}

impl Table for Lent {
    fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    fn batches<'a>(&'a self, needed: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let begins = (0..self.rows.len()).step_by(self.batch);
        Box::new(begins.map(move |begin| {
            let rows = &self.rows[begin..self.rows.len().min(begin + self.batch)];
            let column = |(at, column): (usize, &TableColumn)| {
                let values: Vec<Value> = rows.iter().map(|row| get(row, &column.name)).collect();
                if !needed[at] {
                    return Column::Const(Value::Null);
                }
                if !self.is_coded {
                    return Column::Plain(Arc::new(values));
                }
                let code = |number: usize| u32::try_from(number).expect("small");
                if column.kind == Type::Dynamic {
                    let codes = Arc::new((begin..begin + rows.len()).map(code).collect());
                    return Column::Document(Document::new(vec![Layer {
                        codes,
                        texts: Arc::clone(&self.texts[at]),
                    }]));
                }
                let (dictionary, known) = &self.dictionaries[at];
                let codes = values.iter().map(|value| code(known.binary_search(value).expect("known")));
                Column::Coded { codes: Arc::new(codes.collect()), values: Arc::clone(dictionary) }
            };
            Batch { rows: rows.len(), columns: self.columns.iter().enumerate().map(column).collect() }
        }))
    }
}
