//! Answers as CSV (RFC 4180).

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream;
use kql::{Answer, Value};

/// The whole answer, with a line of names before it.
///
/// A text that a spreadsheet would take for a formula gets an apostrophe before it.
#[must_use]
pub fn csv(answer: &Answer) -> String {
    let mut text = names(answer);
    text.push_str(&lines(answer, 0, answer.rows));
    text
}

/// The same, written as it is read: who reads slowly holds the answer, and no thread.
pub(crate) fn body(answer: Answer) -> Body {
    let answer = Arc::new(answer);
    Body::from_stream(stream::try_unfold(None, move |at: Option<usize>| {
        let answer = Arc::clone(&answer);
        async move {
            let Some(begin) = at else { return Ok(Some((Bytes::from(names(&answer)), Some(0)))) };
            if begin >= answer.rows {
                return Ok(None);
            }
            let end = answer.rows.min(begin + PIECE_ROWS);
            // Documents are parsed for it.
            let text = tokio::task::spawn_blocking(move || lines(&answer, begin, end)).await;
            Ok::<_, io::Error>(Some((Bytes::from(text.map_err(io::Error::other)?), Some(end))))
        }
    }))
}

fn names(answer: &Answer) -> String {
    let mut text = String::new();
    line(&mut text, answer.columns.iter().map(|column| cell(&Value::String(Arc::clone(&column.name)))));
    text
}

fn lines(answer: &Answer, begin: usize, end: usize) -> String {
    let mut text = String::new();
    for row in begin..end {
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

const PIECE_ROWS: usize = 1000;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use kql::{Settings, Source, Table};

    use super::*;

    struct Nothing;

    impl Source for Nothing {
        fn table(&self, _: &str) -> Option<Arc<dyn Table>> {
            None
        }

        fn saved_query(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn answer(query: &str) -> Answer {
        let settings = Settings { now: 0, memory_bytes_max: 1 << 28, stop: &|| false };
        kql::run(query, &Nothing, &settings).expect("runs")
    }

    #[test]
    fn formulas_are_texts_and_quotes_are_doubled() {
        let answer =
            answer("print ['=x'] = '=1+1', b = 'say \"a, b\"', c = -5, d = dynamic(['@']), e = '-x'");
        assert_eq!(csv(&answer), "'=x,b,c,d,e\r\n'=1+1,\"say \"\"a, b\"\"\",-5,\"[\"\"@\"\"]\",'-x\r\n");
    }

    #[tokio::test]
    async fn what_is_streamed_is_the_whole() {
        for rows in [0, 1, PIECE_ROWS, PIECE_ROWS * 2 + 7] {
            let answer = answer(&format!("range x from 1 to {rows} step 1 | extend y = strcat('n', x)"));
            assert_eq!(answer.rows, rows);
            let whole = csv(&answer);
            let streamed = body(answer).collect().await.expect("all of it").to_bytes();
            assert_eq!(streamed, whole.as_bytes());
        }
    }
}
