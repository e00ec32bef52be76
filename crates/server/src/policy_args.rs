//! What an image must be, as the command line says it.

use advisory::Severity;
use assessment::{Handling, Policy};
use clap::{Args, ValueEnum};

/// What an image must be to be let through, by a registry's gate or by a cluster.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ImagePolicyArgs {
    /// Refuse images with a finding that is at least this severe; `none` refuses none.
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = threshold)]
    severity: Threshold,
    /// Refuse for findings alone that have a fixed version.
    #[arg(long)]
    fixable_only: bool,
    /// What becomes of images of ours that are not judged.
    #[arg(long, value_enum, default_value_t = Choice::Deny)]
    unverified: Choice,
    /// What becomes of images whose scan is queued or running [default: as of unverified ones].
    #[arg(long, value_enum)]
    pending: Option<Choice>,
}

#[derive(Clone, Copy, Debug)]
struct Threshold(Option<Severity>);

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Choice {
    Allow,
    Deny,
}

impl From<Choice> for Handling {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Allow => Self::Allow,
            Choice::Deny => Self::Deny,
        }
    }
}

impl ImagePolicyArgs {
    pub(crate) fn settle(self) -> Policy {
        Policy {
            severity: self.severity.0,
            fixable_only: self.fixable_only,
            unverified: self.unverified.into(),
            pending: self.pending.map(Handling::from),
        }
    }
}

pub(crate) fn word(handling: Handling) -> &'static str {
    match handling {
        Handling::Allow => "allow",
        Handling::Deny => "deny",
    }
}

/// `High, fixable`.
pub(crate) fn threshold_word(policy: &Policy) -> String {
    let fixable = if policy.fixable_only { ", fixable" } else { "" };
    policy.severity.map_or_else(|| "-".to_owned(), |severity| format!("{severity}{fixable}"))
}

fn threshold(text: &str) -> Result<Threshold, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Threshold(None));
    }
    text.parse()
        .map(|severity| Threshold(Some(severity)))
        .map_err(|error: advisory::UnknownSeverity| error.to_string())
}
