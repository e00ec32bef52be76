//! Advisories: what vendors say of flaws in their packages.

mod severity;

pub use severity::{Severity, UnknownSeverity};

use serde::{Deserialize, Serialize};

/// Where to read on about an advisory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What the link is called.
    pub title: String,
    /// The link.
    pub link: String,
}
