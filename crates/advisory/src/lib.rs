//! Advisories: what vendors say of flaws in their packages.
//!
//! A vendor speaks of a source package in one [`Namespace`]; each statement is a [`Record`]. All records
//! of all feeds make one immutable [`Snapshot`]. [`compare`] orders versions by the rules of the package
//! manager that installed them.

mod lifetime;
mod namespace;
mod record;
mod severity;
mod snapshot;
mod version;

pub use lifetime::end_of_life;
pub use namespace::{InvalidNamespace, Namespace, Vendor};
pub use record::{Details, DetailsId, Record, Status, Unfixed};
pub use severity::{Severity, UnknownSeverity};
pub use snapshot::{
    Changed, Coverage, FeedInfo, InvalidSnapshot, Records, Snapshot, SnapshotBuilder, changed,
};
pub use version::{InvalidVersion, apk, compare, deb};

use serde::{Deserialize, Serialize};

/// Where to read on about an advisory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Reference {
    /// What the link is called.
    pub title: String,
    /// The link.
    pub link: String,
}
