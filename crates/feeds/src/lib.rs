//! Feeds: fetching and reading what vendors publish, and making the advisory snapshot from it.
//!
//! A payload is used whole or not at all: one that is cut short, damaged, empty, of another feed or
//! suspiciously small leaves its feed as it was.

mod addresses;
mod batch;
mod fetch;
mod import_files;
mod report;
pub mod source;
mod unpack;
mod update;

pub use addresses::{ALPINE_URL, DEBIAN_URL, Source, Sources, is_source_url};
pub use fetch::{Download, FetchError, FetchLimits, Fetched, Fetcher, Validators};
pub use report::{Outcome, PayloadReport, Refusal, Report};
pub use update::{Feeds, FeedsError};
