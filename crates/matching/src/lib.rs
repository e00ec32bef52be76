//! Matching: what an image holds × what vendors say = a verdict.
//!
//! One pure function, [`judge`], tells the whole truth, doubt included: the same evidence gives the same
//! verdict, byte for byte. A package is judged by its own vendor's data alone, on its source package.

mod doubt;
mod judge;
mod keys;
mod statement;
mod wording;

pub use judge::{Evidence, StaleFeed, judge};
pub use keys::keys;
