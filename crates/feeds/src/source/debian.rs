//! The Debian security tracker's JSON:
//! `{source package: {CVE: {description, releases: {codename: {status, fixed_version, urgency, …}}}}}`.
//!
//! Tens of megabytes, so that it is read member by member, and each goes straight to the builder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

use advisory::{Details, FeedInfo, Namespace, Record, Severity, SnapshotBuilder, Status, Unfixed, Vendor};
use oci::Digest;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{Form, Parsed, is_name};

pub(super) fn parse(document: impl Read, payload: &Digest) -> Result<Parsed, serde_json::Error> {
    let mut statements = SnapshotBuilder::new();
    let mut namespaces = BTreeMap::new();
    let mut json = serde_json::Deserializer::from_reader(document);
    Packages { statements: &mut statements, namespaces: &mut namespaces }.deserialize(&mut json)?;
    json.end()?;
    let records = statements.records();
    let namespaces = namespaces.into_values().flatten().collect::<BTreeSet<_>>();
    statements.feed(FeedInfo {
        name: NAME.to_owned(),
        payload: payload.clone(),
        records,
        namespaces: namespaces.into_iter().collect(),
        repository: None,
    });
    Ok(Parsed { name: NAME.to_owned(), form: Form::Debian, records, statements })
}

/// The whole document.
struct Packages<'a> {
    statements: &'a mut SnapshotBuilder,
    /// By codename; `None` for one that is none: that release is then not covered.
    namespaces: &'a mut BTreeMap<String, Option<Namespace>>,
}

impl<'de> DeserializeSeed<'de> for Packages<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Packages<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source packages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut packages: A) -> Result<(), A::Error> {
        while let Some(package) = packages.next_key::<String>()? {
            if !is_name(&package) {
                return Err(A::Error::custom(format_args!("{package:?} is not the name of a package")));
            }
            packages.next_value_seed(Flaws {
                package: &package,
                statements: self.statements,
                namespaces: self.namespaces,
            })?;
        }
        Ok(())
    }
}

/// The flaws of one source package.
struct Flaws<'a> {
    package: &'a str,
    statements: &'a mut SnapshotBuilder,
    namespaces: &'a mut BTreeMap<String, Option<Namespace>>,
}

impl<'de> DeserializeSeed<'de> for Flaws<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Flaws<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the flaws of {}", self.package)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut flaws: A) -> Result<(), A::Error> {
        while let Some(id) = flaws.next_key::<String>()? {
            if !is_name(&id) {
                return Err(A::Error::custom(format_args!("{id:?} is not the id of an advisory")));
            }
            let flaw: Flaw = flaws.next_value()?;
            let tracker = format!("https://security-tracker.debian.org/tracker/{id}");
            let details = self.statements.details(&Details {
                description: cut(flaw.description.as_deref().unwrap_or_default()),
                references: vec![("Debian security tracker", tracker.as_str())],
            });
            for (codename, release) in &flaw.releases {
                if !self.namespaces.contains_key(codename) {
                    if self.namespaces.len() >= RELEASES_MAX {
                        return Err(A::Error::custom("more releases than Debian ever had"));
                    }
                    self.namespaces.insert(codename.clone(), Namespace::new(Vendor::Debian, codename).ok());
                }
                if let Some(Some(namespace)) = self.namespaces.get(codename) {
                    let severity = release.severity();
                    let record = Record {
                        id: &id,
                        aliases: Vec::new(),
                        status: release.status(),
                        severity,
                        severity_source: if severity == Severity::Unknown { "" } else { "debian urgency" },
                        unimportant: release.urgency() == "unimportant",
                        feed: NAME,
                        details,
                    };
                    self.statements.add(namespace, self.package, &record);
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Flaw {
    #[serde(default)]
    description: Option<String>,
    releases: BTreeMap<String, Release>,
}

#[derive(Deserialize)]
struct Release {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: Option<String>,
    #[serde(default)]
    nodsa_reason: Option<String>,
}

impl Release {
    /// Old data marks guesses of the urgency by stars.
    fn urgency(&self) -> &str {
        self.urgency.as_deref().unwrap_or_default().trim_end_matches('*')
    }

    fn status(&self) -> Status<'_> {
        match (self.status.as_str(), self.fixed_version.as_deref()) {
            ("resolved", Some("0")) => Status::NotAffected,
            ("resolved", Some(version)) => Status::Fixed { version },
            ("open", _) if self.urgency() == "end-of-life" => Status::Unfixed(Unfixed::EndOfLife),
            ("open", _) => Status::Unfixed(match self.nodsa_reason.as_deref() {
                Some("postponed") => Unfixed::Deferred,
                Some("ignored") => Unfixed::WontFix,
                _ => Unfixed::NoneYet,
            }),
            // `undetermined`; a fix without its version; a status of tomorrow: nobody can tell from this.
            _ => Status::UnderInvestigation,
        }
    }

    fn severity(&self) -> Severity {
        match self.urgency() {
            "high" => Severity::High,
            "medium" => Severity::Medium,
            "low" => Severity::Low,
            _ => Severity::Unknown,
        }
    }
}

fn cut(description: &str) -> &str {
    let mut end = description.len().min(DESCRIPTION_BYTES_MAX);
    while !description.is_char_boundary(end) {
        end -= 1;
    }
    &description[..end]
}

/// The feed's name.
const NAME: &str = "debian";

/// The tracker's longest are a few kilobytes.
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;

/// Debian had two dozen releases in thirty years.
const RELEASES_MAX: usize = 200;
