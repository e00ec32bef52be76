//! The one state an image is in (never two, never none).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Finding;

/// Exactly one of these holds for an image digest, everywhere it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ImageState {
    /// Its scan is queued or running.
    Pending,
    /// Judged on complete evidence; nothing to fix.
    Healthy,
    /// At least one finding that no rule disables.
    Unhealthy,
    /// Cannot hold software that we judge, or the plan is off.
    NotApplicable,
    /// Should be judged but cannot be now.
    Unverified,
}

impl ImageState {
    /// As every door writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Healthy => "Healthy",
            Self::Unhealthy => "Unhealthy",
            Self::NotApplicable => "NotApplicable",
            Self::Unverified => "Unverified",
        }
    }

    /// The state of an image whose evidence is this and that has nothing left to fix: none was found, or
    /// rules disable all of it.
    #[must_use]
    pub fn without_findings(causes: &[Cause]) -> Self {
        if causes.iter().any(Cause::is_doubt) { Self::Unverified } else { Self::Healthy }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Healthy, Self::Unhealthy, Self::NotApplicable, Self::Unverified]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

impl fmt::Display for ImageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an image is in a state that is neither Healthy nor Unhealthy, or what qualifies those two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// For programs: `NoAdvisoryData`, `IncompleteInventory`, `NothingIdentifiable`, …
    pub code: String,
    /// For people: one sentence.
    pub description: String,
}

impl Cause {
    /// True if it says that something could not be judged, not merely what is worth knowing.
    #[must_use]
    pub fn is_doubt(&self) -> bool {
        self.code != END_OF_LIFE
    }
}

/// The code of the cause by which a release is no longer looked after: a fact, not a doubt.
pub const END_OF_LIFE: &str = "EndOfLife";

/// What a judgement concludes of one image digest, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The state; never Pending.
    pub state: ImageState,
    /// Why, one entry a reason; always at least one for NotApplicable and Unverified. An Unhealthy
    /// image may have some too: what else could not be judged.
    pub causes: Vec<Cause>,
    /// What is to be fixed, sorted by severity (worst first), then id, then package.
    pub findings: Vec<Finding>,
}
