//! One vendor's statement on one version.

use std::cmp::Ordering;

use advisory::{Record, Status, Unfixed};
use assessment::FixState;
use inventory::Ecosystem;

/// What a statement means for an installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// The flaw is there.
    Affected {
        /// The first version without it.
        fixed_version: Option<&'a str>,
        /// What the vendor does about it.
        fix_state: FixState,
    },
    /// The flaw is not there, or has no impact by the vendor's word.
    NotAffected,
    /// Nobody can tell; "not affected" would hide a flaw.
    Undetermined {
        /// For people.
        why: String,
    },
}

/// Judges one installed source version by one statement.
pub(crate) fn judge<'a>(ecosystem: Ecosystem, installed: &str, record: &Record<'a>) -> Meaning<'a> {
    if record.unimportant {
        return Meaning::NotAffected;
    }
    match record.status {
        Status::NotAffected => Meaning::NotAffected,
        Status::UnderInvestigation => {
            Meaning::Undetermined { why: "the vendor has not determined yet who is affected".to_owned() }
        }
        Status::Unfixed(unfixed) => Meaning::Affected {
            fixed_version: None,
            fix_state: match unfixed {
                Unfixed::NoneYet => FixState::NoneYet,
                Unfixed::Deferred => FixState::Deferred,
                Unfixed::WontFix => FixState::WontFix,
                Unfixed::EndOfLife => FixState::EndOfLife,
            },
        },
        Status::Fixed { version } => match advisory::compare(ecosystem, installed, version) {
            Ok(Ordering::Less) => {
                Meaning::Affected { fixed_version: Some(version), fix_state: FixState::Fixed }
            }
            Ok(_) => Meaning::NotAffected,
            Err(error) => Meaning::Undetermined { why: error.to_string() },
        },
    }
}

/// Of two statements by which a package is affected, whether the second asks for more: no fix at all
/// outranks a fix, a later fix an earlier one (the first was incomplete).
pub(crate) fn outranks(ecosystem: Ecosystem, first: Option<&str>, second: Option<&str>) -> bool {
    match (first, second) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(first), Some(second)) => advisory::compare(ecosystem, first, second).is_ok_and(Ordering::is_lt),
    }
}
