//! Alpine's secdb JSON, one file a branch and repository:
//! `{distroversion, reponame, packages: [{pkg: {name, secfixes: {version: [ids]}}}]}`.

use std::fmt;
use std::io::Read;

use advisory::{Details, FeedInfo, Namespace, Record, Severity, SnapshotBuilder, Status, Vendor};
use oci::Digest;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{Form, Parsed, is_name};

pub(super) fn parse(document: impl Read, payload: &Digest) -> Result<Parsed, serde_json::Error> {
    let secdb: Secdb = serde_json::from_reader(document)?;
    let refuse =
        |what: &str, text: &str| Err(serde_json::Error::custom(format_args!("{text:?} is not {what}")));
    let Ok(namespace) = Namespace::new(Vendor::Alpine, &secdb.distroversion) else {
        return refuse("a branch", &secdb.distroversion);
    };
    let repository = secdb.reponame;
    if repository.len() > REPOSITORY_LEN_MAX || !repository.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return refuse("a repository's name", &repository);
    }
    let name = format!("alpine/{}/{repository}", namespace.release());
    let mut statements = SnapshotBuilder::new();
    for Entry { pkg } in &secdb.packages {
        if !is_name(&pkg.name) {
            return refuse("a package's name", &pkg.name);
        }
        for (version, texts) in pkg.secfixes.iter().flat_map(|fixes| &fixes.0) {
            for id in texts.iter().flatten().flatten().flat_map(|text| ids(text)) {
                if !is_name(&id) {
                    return refuse("an advisory's id", &id);
                }
                let links = [
                    ("Alpine security tracker", format!("https://security.alpinelinux.org/vuln/{id}")),
                    ("CVE record", format!("https://www.cve.org/CVERecord?id={id}")),
                ];
                let links = links.iter().filter(|_| id.starts_with("CVE-"));
                let details = statements.details(&Details {
                    description: "",
                    references: links.map(|(title, link)| (*title, link.as_str())).collect(),
                });
                let record = Record {
                    id: &id,
                    aliases: Vec::new(),
                    status: if version == "0" { Status::NotAffected } else { Status::Fixed { version } },
                    severity: Severity::Unknown,
                    severity_source: "",
                    unimportant: false,
                    feed: &name,
                    details,
                };
                statements.add(&namespace, &pkg.name, &record);
            }
        }
    }
    let records = statements.records();
    statements.feed(FeedInfo {
        name: name.clone(),
        payload: payload.clone(),
        records,
        namespaces: vec![namespace],
        repository: Some(repository),
    });
    Ok(Parsed { name, form: Form::Alpine, records, statements })
}

/// The ids in one string: maintainers put several in one, with remarks and typing errors.
/// A text without any id is one itself, so that nothing is lost.
fn ids(text: &str) -> Vec<String> {
    let is_id = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.contains(['-', '_'])
            && word.contains(|char: char| char.is_ascii_digit())
    };
    let trim = |word: &'_ str| word.trim_matches(|char: char| !char.is_ascii_alphanumeric()).to_owned();
    let words: Vec<_> = text.split_whitespace().map(trim).collect();
    let found: Vec<_> = words.iter().map(String::as_str).filter(is_id).map(normalised).collect();
    let whole = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    match found {
        found if !found.is_empty() => found,
        _ if whole.is_empty() => Vec::new(),
        _ => vec![whole],
    }
}

/// `CVE_2019-2426` and `cve-2019-2426` mean `CVE-2019-2426`.
fn normalised(id: &str) -> String {
    match id.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("cve") => id.to_ascii_uppercase().replace('_', "-"),
        _ => id.to_owned(),
    }
}

#[derive(Deserialize)]
struct Secdb {
    distroversion: String,
    reponame: String,
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    pkg: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    secfixes: Option<Fixes>,
}

/// Versions and what each fixed, in the file's order; a version that stands there twice counts twice.
struct Fixes(Vec<(String, Option<Vec<Option<String>>>)>);

impl<'de> Deserialize<'de> for Fixes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Versions;
        impl<'de> Visitor<'de> for Versions {
            type Value = Fixes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("versions and what each fixed")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut versions: A) -> Result<Fixes, A::Error> {
                let mut fixes = Vec::new();
                while let Some(entry) = versions.next_entry()? {
                    fixes.push(entry);
                }
                Ok(Fixes(fixes))
            }
        }
        deserializer.deserialize_map(Versions)
    }
}

/// `main`, `community`, `testing`.
const REPOSITORY_LEN_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_and_typing_errors_mended() {
        for (text, wanted) in [
            ("CVE-2019-2426", &["CVE-2019-2426"][..]),
            ("CVE_2019-2426", &["CVE-2019-2426"]),
            ("CVE-2019-2426 (+)", &["CVE-2019-2426"]),
            ("CVE-2017-2616 (+ regression fix)", &["CVE-2017-2616"]),
            ("CVE-2020-1 CVE-2020-2, XSA-400", &["CVE-2020-1", "CVE-2020-2", "XSA-400"]),
            ("cve-2020-1", &["CVE-2020-1"]),
            ("GHSA-xrh9-w7qx-3gcc", &["GHSA-xrh9-w7qx-3gcc"]),
            ("ALPINE-13661", &["ALPINE-13661"]),
            ("some flaw", &["some-flaw"]),
            (" ", &[]),
        ] {
            assert_eq!(ids(text), wanted, "{text}");
        }
    }
}
