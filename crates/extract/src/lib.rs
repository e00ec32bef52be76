//! From a layer's bytes to its inventory: pure, bounded, and meant to run in the jail.
//!
//! A layer is unpacked once, in one pass, and nothing is written anywhere. What is damaged,
//! too large or ambiguous becomes an [`inventory::Problem`] beside whatever could be read. Never a panic, never silence.

mod archive;
mod ecosystem;
mod layer;
mod limits;
mod release;

use std::io::{self, Read, Write};

pub use layer::extract;
pub use limits::Limits;

/// The work of a jailed extractor: a layer comes in, its inventory goes out as one JSON document.
///
/// # Errors
/// Only if the document cannot be written.
pub fn worker(layer: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    let document = serde_json::to_vec(&extract(layer, &Limits::default()))?;
    output.write_all(&document)
}
