//! Answers as CSV (RFC 4180).

use kql::{Answer, Value};

/// The whole answer, with a line of names before it.
///
/// A text that a spreadsheet would take for a formula gets an apostrophe before it.
#[must_use]
pub fn csv(answer: &Answer) -> String {
    let mut text = String::new();
    let names = answer.columns.iter().map(|column| column.name.to_string());
    line(&mut text, names);
    for row in 0..answer.rows {
        line(&mut text, answer.row(row).iter().map(cell));
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        value => value.to_text(),
    }
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}
