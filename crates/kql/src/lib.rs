//! The query language of Azure Resource Graph (a dialect of Kusto's): text in, rows out.
//!
//! text → [syntax tree](syntax) → plan → rows, over tables that a [`Source`] lends. Pure: no I/O, no clock,
//! no randomness. What a query may use of memory and time is bounded by what its caller passes in.

mod column;
mod document;
mod function;
mod json;
mod pattern;
mod time;
mod value;

pub use column::{Batch, Codes, Column, Dictionary, Gathered};
pub use document::{Document, Layer, Texts};
pub use value::{Bag, TICKS_PER_DAY, TICKS_PER_SECOND, Type, Value};
