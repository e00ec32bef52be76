//! Records: what a vendor says of one flaw in one source package of one release.

use crate::Severity;

/// One statement. Which package and release it speaks of is the key it is stored under.
///
/// It borrows: from the payload when a feed is read, from the snapshot when an image is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The flaw's name at this vendor: `CVE-2024-5535`, `TEMP-0290435-0B57B5`, `XSA-400`.
    pub id: &'a str,
    /// Its other names.
    pub aliases: Vec<&'a str>,
    /// What the vendor says of the release's package.
    pub status: Status<'a>,
    /// How bad.
    pub severity: Severity,
    /// Whose word that is: `debian urgency`; empty for an unknown one.
    pub severity_source: &'a str,
    /// The vendor sees no security impact in its build (Debian's urgency `unimportant`).
    pub unimportant: bool,
    /// The feed that says so: `debian`, `alpine/v3.22/main`.
    pub feed: &'a str,
    /// Description and references, stored once however many records share them.
    pub details: DetailsId,
}

/// What the vendor says of a flaw in a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<'a> {
    /// Versions before this one have the flaw.
    Fixed {
        /// The first version without it.
        version: &'a str,
    },
    /// Every version has the flaw.
    Unfixed(Unfixed),
    /// No version of this release has the flaw.
    NotAffected,
    /// The vendor does not know yet.
    UnderInvestigation,
}

/// What the vendor does about a flaw without a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfixed {
    /// Nothing decided.
    NoneYet,
    /// It comes with a later update.
    Deferred,
    /// Nothing, for good.
    WontFix,
    /// The package or release is no longer looked after.
    EndOfLife,
}

/// What there is to read about a flaw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// What it is; may be empty.
    pub description: &'a str,
    /// Titles and links.
    pub references: Vec<(&'a str, &'a str)>,
}

/// The name of [`Details`] by their content, so that a record changes when they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DetailsId(pub(crate) [u8; DetailsId::LEN]);

impl DetailsId {
    /// Half a SHA-256: 128 bits hold no accident.
    pub(crate) const LEN: usize = 16;
}
