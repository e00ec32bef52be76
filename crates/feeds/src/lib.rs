//! Feeds: fetching and reading what vendors publish, and making the advisory snapshot from it.
//!
//! A payload is used whole or not at all: one that is cut short, damaged, empty, of another feed or
//! suspiciously small leaves its feed as it was.

mod batch;
mod engine;
mod fetch;
mod files;
pub mod payload;
mod report;
mod sources;

pub use engine::{Feeds, FeedsError};
pub use fetch::{Download, FetchError, FetchLimits, Fetched, Fetcher, Validators};
pub use report::{Outcome, PayloadReport, Refusal, Report};
pub use sources::{ALPINE_URL, DEBIAN_URL, Source, Sources, is_source_url};
