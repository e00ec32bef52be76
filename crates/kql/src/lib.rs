//! The query language of Azure Resource Graph (a dialect of Kusto's): text in, rows out.
//!
//! text → [syntax tree](syntax) → plan → rows, over tables that a [`Source`] lends. Pure: no I/O, no clock,
//! no randomness. What a query may use of memory and time is bounded by what its caller passes in.

mod aggregate;
mod bind;
mod column;
mod compute;
mod error;
mod eval;
mod exec;
mod function;
mod json_value;
mod lex;
mod optimise;
mod parse;
mod parse_operator;
mod plan;
mod run;
mod schema;
mod source;
pub mod syntax;
mod time;
mod value;

pub use column::document::{Document, Layer, Texts};
pub use column::stem::{Stem, Stemmed, Stems};
pub use column::{Batch, Codes, Column, Dictionary, Gathered};
pub use error::{Code, Detail, Position, QueryError};
pub use parse::parse;
pub use run::{Answer, AnswerColumn, Settings, run, run_with};
pub use source::{Source, Table, TableColumn};
pub use value::{Bag, TICKS_PER_DAY, TICKS_PER_SECOND, Type, Value};
