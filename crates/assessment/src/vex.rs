//! VEX documents: what somebody says of the flaws in an image, read as criteria of rules.
//!
//! OpenVEX (specification 0.2.0), CSAF's VEX profile (CSAF 2.0, 4.5) and CycloneDX (1.4 on, `vulnerabilities`), bare or
//! within an in-toto statement, a DSSE envelope or a Sigstore bundle. No signature is looked at: a document has the authority of
//! whoever attached it.
//!
//! A document is the word of a stranger, and what it hides is no longer seen: what is not said plainly of a package
//! that is listed here, or of the image itself, hides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use oci::{Digest, Repository};
use serde_json::Value;

use crate::Criteria;
use crate::rule::{ENTRIES_MAX, ENTRY_BYTES_MAX};

/// What a document comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vex {
    /// The format: `OpenVEX`, `CSAF` or `CycloneDX`.
    pub format: &'static str,
    /// Who says so, in the document's words; may be empty.
    pub author: String,
    /// Each why that is given, with the packages that are meant, and of which flaws it is said.
    hidden: BTreeMap<(Why, Packages), BTreeSet<String>>,
}

/// What a document is attached to: an image or an index in its repository.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// Which it is.
    pub digest: &'a Digest,
}

type Why = String;
/// Names, or names and versions (`openssl@3.0.1`); none: the whole image.
type Packages = BTreeSet<String>;

/// Why a document counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVex {
    /// It says more than is taken.
    #[error("it says more than {STATEMENTS_MAX} things, or comes to more than {RULES_MAX} rules")]
    TooLarge,
    /// It is wrapped too often.
    #[error("it is wrapped in more than {WRAPS_MAX} others")]
    TooDeep,
}

impl Vex {
    /// Reads a document that is attached to `subject`; `None` if it is not a VEX document.
    ///
    /// # Errors
    /// [`InvalidVex`].
    pub fn read(bytes: &[u8], subject: Subject<'_>) -> Result<Option<Self>, InvalidVex> {
        match serde_json::from_slice(bytes) {
            Ok(document) => read(&document, subject, 0),
            Err(_) => Ok(None),
        }
    }

    /// What it hides, as criteria for what it is attached to, each with its reason: of `reason_bytes_max` bytes at most.
    #[must_use]
    pub fn rules(&self, subject: Subject<'_>, reason_bytes_max: usize) -> Vec<(Criteria, String)> {
        let by = if self.author.is_empty() { "its author" } else { &self.author };
        let mut rules = Vec::new();
        for ((why, packages), advisories) in &self.hidden {
            let mut reason = format!("{}: {why} (says {by})", self.format);
            reason.truncate(reason.floor_char_boundary(reason_bytes_max));
            let advisories: Vec<&String> = advisories.iter().collect();
            for advisories in advisories.chunks(ENTRIES_MAX) {
                let criteria = Criteria {
                    advisories: advisories.iter().copied().cloned().collect(),
                    packages: packages.clone(),
                    repositories: BTreeSet::from([subject.repository.to_string()]),
                    images: BTreeSet::from([subject.digest.clone()]),
                    ..Criteria::default()
                };
                rules.push((criteria, reason.clone()));
            }
        }
        rules
    }
}

fn read(document: &Value, subject: Subject<'_>, wraps: u8) -> Result<Option<Vex>, InvalidVex> {
    if wraps > WRAPS_MAX {
        return Err(InvalidVex::TooDeep);
    }
    let starts = |name: &str, with: &str| text(&document[name]).starts_with(with);
    let mut said = Said { subject, statements: Vec::new(), len: 0 };
    let (format, author) = if starts("@context", "https://openvex.dev/ns") {
        open_vex(document, &mut said)?;
        ("OpenVEX", text(&document["author"]))
    } else if starts("bomFormat", "CycloneDX") {
        if !document["vulnerabilities"].is_array() {
            return Ok(None);
        }
        cyclone_dx(document, &mut said)?;
        let tool = &document["metadata"]["authors"][0]["name"];
        (
            "CycloneDX",
            [tool, &document["metadata"]["supplier"]["name"]]
                .map(text)
                .into_iter()
                .find(|it| !it.is_empty())
                .unwrap_or(""),
        )
    } else if text(&document["document"]["category"]) == "csaf_vex" {
        csaf(document, &mut said)?;
        ("CSAF", text(&document["document"]["publisher"]["name"]))
    } else if document["predicateType"].is_string() {
        return read(&document["predicate"], subject, wraps + 1);
    } else if document["dsseEnvelope"].is_object() {
        return read(&document["dsseEnvelope"], subject, wraps + 1);
    } else if document["payloadType"].is_string() {
        let payload = base64::engine::general_purpose::STANDARD.decode(text(&document["payload"]));
        let inner = payload.ok().and_then(|payload| serde_json::from_slice(&payload).ok());
        return inner.map_or(Ok(None), |inner: Value| read(&inner, subject, wraps + 1));
    } else {
        return Ok(None);
    };
    let hidden = said.hidden();
    if hidden.len() > RULES_MAX || hidden.keys().any(|(_, packages)| packages.len() > ENTRIES_MAX) {
        return Err(InvalidVex::TooLarge);
    }
    Ok(Some(Vex { format, author: line(author), hidden }))
}

/// What is said, one statement after the other.
struct Said<'a> {
    subject: Subject<'a>,
    statements: Vec<Statement>,
    /// Pairs of a flaw and a package.
    len: usize,
}

struct Statement {
    /// When, in milliseconds since 1970; where nobody says it, before all others.
    at_ms: Option<i64>,
    flaws: Vec<String>,
    /// Packages; an empty name is the image itself.
    packages: Vec<String>,
    /// Why it is nothing to worry about; `None`: it may be.
    why: Option<String>,
}

impl Said<'_> {
    fn say(&mut self, statement: Statement) -> Result<(), InvalidVex> {
        self.len += statement.flaws.len() * statement.packages.len();
        // Each takes its place, though it speaks of nothing that is listed here.
        if self.len + self.statements.len() > STATEMENTS_MAX {
            return Err(InvalidVex::TooLarge);
        }
        self.statements.push(statement);
        Ok(())
    }

    /// What remains when each statement has replaced those before it.
    fn hidden(mut self) -> BTreeMap<(Why, Packages), BTreeSet<String>> {
        self.statements.sort_by_key(|statement| statement.at_ms);
        // The flaws, each with the packages of which something is said.
        let mut last: BTreeMap<String, BTreeMap<String, Option<String>>> = BTreeMap::new();
        for statement in &self.statements {
            for flaw in &statement.flaws {
                let of_flaw = last.entry(flaw.clone()).or_default();
                for package in &statement.packages {
                    if package.is_empty() {
                        of_flaw.clear();
                    }
                    of_flaw.insert(package.clone(), statement.why.clone());
                }
            }
        }
        // A rule for a source is one for all that is built of it, and one without a version for each: where one package
        // has the flaw, nobody knows here which others are meant by that.
        let is_doubted = |flaw: &String| {
            let has = |(package, why): (&String, &Option<String>)| !package.is_empty() && why.is_none();
            last.get(flaw).is_some_and(|packages| packages.iter().any(has))
        };
        // By any of its names.
        let named = self.statements.iter().filter(|statement| statement.flaws.iter().any(is_doubted));
        let doubted: BTreeSet<&String> = named.flat_map(|statement| &statement.flaws).collect();
        let mut hidden: BTreeMap<(Why, Packages), BTreeSet<String>> = BTreeMap::new();
        for (flaw, packages) in last.iter().filter(|(flaw, _)| !doubted.contains(flaw)) {
            let mut by_why: BTreeMap<&Why, Packages> = BTreeMap::new();
            for (package, why) in packages {
                if let Some(why) = why {
                    by_why.entry(why).or_default().insert(package.clone());
                }
            }
            for (why, mut packages) in by_why {
                if packages.contains("") {
                    packages.clear();
                }
                hidden.entry((why.clone(), packages)).or_default().insert(flaw.clone());
            }
        }
        hidden
    }

    /// The package that a package URL names, as criteria write it; empty for the image that is spoken of; `None` if it is
    /// neither, or not listed here.
    fn package(&self, purl: &str) -> Option<String> {
        let purl = purl.strip_prefix("pkg:")?;
        let (path, qualifiers) = purl.split_once('?').unwrap_or((purl, ""));
        let path = path.split('#').next().unwrap_or(path).trim_matches('/');
        let (path, version) = match path.rsplit_once('@') {
            Some((path, version)) => (path, Some(percent_decoded(version)?)),
            None => (path, None),
        };
        let (kind, rest) = path.split_once('/')?;
        let name = percent_decoded(rest.rsplit('/').next()?)?;
        match kind.to_ascii_lowercase().as_str() {
            "oci" | "docker" => {
                // A document may speak of several images. A version that is no digest is a tag: which image that is,
                // nobody knows here.
                let is_it = match version {
                    Some(version) => version == self.subject.digest.to_string(),
                    None => {
                        let repository = self.subject.repository.as_str();
                        let last = repository.rsplit('/').next().unwrap_or(repository);
                        name.eq_ignore_ascii_case(last) && !qualifiers.contains("tag=")
                    }
                };
                is_it.then(String::new)
            }
            "deb" | "apk" if !name.is_empty() => {
                let package = match version {
                    Some(version) if !version.is_empty() => format!("{name}@{version}"),
                    _ => name,
                };
                // A star would be a pattern.
                (package.len() <= ENTRY_BYTES_MAX && !package.contains('*')).then_some(package)
            }
            _ => None,
        }
    }
}

fn open_vex(document: &Value, said: &mut Said<'_>) -> Result<(), InvalidVex> {
    // A thing is named by its id, or by a package URL beside it; older documents write the id alone.
    let purls = |thing: &Value| -> Vec<String> {
        let named = [thing, &thing["@id"], &thing["identifiers"]["purl"]];
        named.iter().filter_map(|it| it.as_str()).map(str::to_owned).collect()
    };
    for statement in list(&document["statements"]) {
        let vulnerability = &statement["vulnerability"];
        let names = [vulnerability, &vulnerability["name"], &vulnerability["@id"]].map(text).into_iter();
        let flaws = names.chain(list(&vulnerability["aliases"]).map(text)).filter_map(flaw).collect();
        let mut packages = Vec::new();
        for product in list(&statement["products"]) {
            let of = |thing: &Value| purls(thing).iter().find_map(|purl| said.package(purl));
            let Some(of_product) = of(product) else { continue };
            let mut parts = list(&product["subcomponents"]).peekable();
            if parts.peek().is_none() {
                packages.push(of_product);
            }
            packages.extend(parts.filter_map(of).filter(|part| !part.is_empty()));
        }
        let (status, why) = (text(&statement["status"]), text(&statement["impact_statement"]));
        let why = match status {
            "not_affected" => Some(because("not affected", text(&statement["justification"]), why)),
            "fixed" => Some(because("fixed", "", text(&statement["status_notes"]))),
            _ => None,
        };
        let at =
            [&statement["timestamp"], &document["timestamp"]].map(text).into_iter().find(|it| !it.is_empty());
        let at_ms = at.and_then(|at| at.parse::<jiff::Timestamp>().ok()).map(|at| at.as_millisecond());
        said.say(Statement { at_ms, flaws, packages, why })?;
    }
    Ok(())
}

fn cyclone_dx(document: &Value, said: &mut Said<'_>) -> Result<(), InvalidVex> {
    let mut purls: HashMap<&str, &str> = HashMap::new();
    let mut open: Vec<&Value> = list(&document["components"]).collect();
    open.push(&document["metadata"]["component"]);
    while let Some(component) = open.pop() {
        let (name, purl) = (text(&component["bom-ref"]), text(&component["purl"]));
        if !name.is_empty() && !purl.is_empty() {
            purls.insert(name, purl);
        }
        open.extend(list(&component["components"]));
    }
    for vulnerability in list(&document["vulnerabilities"]) {
        let names = std::iter::once(text(&vulnerability["id"]));
        let others = list(&vulnerability["references"]).map(|other| text(&other["id"]));
        let flaws = names.chain(others).filter_map(flaw).collect();
        let package = |affected: &Value| {
            let name = text(&affected["ref"]);
            // A link into a bill of materials ends with the name there.
            let within =
                name.rsplit_once('#').filter(|_| name.starts_with("urn:cdx:")).map_or(name, |(_, name)| name);
            said.package(purls.get(within).copied().unwrap_or(within))
        };
        let packages = list(&vulnerability["affects"]).filter_map(package).collect();
        let analysis = &vulnerability["analysis"];
        let (justification, detail) = (text(&analysis["justification"]), text(&analysis["detail"]));
        let why = match text(&analysis["state"]) {
            "not_affected" => Some(because("not affected", justification, detail)),
            "false_positive" => Some(because("false positive", justification, detail)),
            "resolved" | "resolved_with_pedigree" => Some(because("resolved", justification, detail)),
            _ => None,
        };
        said.say(Statement { at_ms: None, flaws, packages, why })?;
    }
    Ok(())
}

fn csaf(document: &Value, said: &mut Said<'_>) -> Result<(), InvalidVex> {
    let tree = &document["product_tree"];
    let mut purls: HashMap<&str, &str> = HashMap::new();
    let mut open: Vec<&Value> = list(&tree["branches"]).collect();
    let mut products: Vec<&Value> = list(&tree["full_product_names"]).collect();
    while let Some(branch) = open.pop() {
        products.push(&branch["product"]);
        open.extend(list(&branch["branches"]));
    }
    for product in products {
        let purl = text(&product["product_identification_helper"]["purl"]);
        if !purl.is_empty() {
            purls.insert(text(&product["product_id"]), purl);
        }
    }
    // A component as a part of something else: it is the component that is spoken of.
    let mut parts: HashMap<&str, &str> = HashMap::new();
    for part in list(&tree["relationships"]) {
        parts.insert(text(&part["full_product_name"]["product_id"]), text(&part["product_reference"]));
    }
    for vulnerability in list(&document["vulnerabilities"]) {
        let names = std::iter::once(text(&vulnerability["cve"]));
        let others = list(&vulnerability["ids"]).map(|other| text(&other["text"]));
        let flaws: Vec<String> = names.chain(others).filter_map(flaw).collect();
        let is_of =
            |remark: &Value, product: &str| list(&remark["product_ids"]).any(|id| text(id) == product);
        let statuses = [
            ("known_affected", None),
            ("under_investigation", None),
            ("last_affected", None),
            ("known_not_affected", Some("not affected")),
            ("fixed", Some("fixed")),
            ("first_fixed", Some("fixed")),
        ];
        for (status, says) in statuses {
            for product in list(&vulnerability["product_status"][status]).map(text) {
                let named = parts.get(product).copied().unwrap_or(product);
                let Some(package) = purls.get(named).and_then(|purl| said.package(purl)) else { continue };
                let flag = list(&vulnerability["flags"]).find(|flag| is_of(flag, product));
                let impact = list(&vulnerability["threats"])
                    .find(|threat| text(&threat["category"]) == "impact" && is_of(threat, product));
                let justification = flag.map_or("", |flag| text(&flag["label"]));
                let why = says
                    .map(|says| because(says, justification, impact.map_or("", |it| text(&it["details"]))));
                // What is said to have a flaw is not hidden by what else is said of it.
                let at_ms = if why.is_none() { Some(0) } else { None };
                said.say(Statement { at_ms, flaws: flaws.clone(), packages: vec![package], why })?;
            }
        }
    }
    Ok(())
}

/// `not affected (component_not_present): why`.
fn because(says: &str, justification: &str, detail: &str) -> String {
    let justification = if justification.is_empty() { String::new() } else { format!(" ({justification})") };
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    line(&format!("{says}{justification}{detail}"))
}

/// Text on one line, and no more than a line may be.
fn line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
    line
}

/// The name of a flaw, as criteria write it. Some are links that end with it.
fn flaw(name: &str) -> Option<String> {
    let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name).trim().to_ascii_uppercase();
    (!name.is_empty() && name.len() <= ENTRY_BYTES_MAX).then_some(name)
}

/// Percent-encoding undone (RFC 3986, 2.1); `None` if it is none.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Statements, and pairs of a flaw and a package of which something is said.
const STATEMENTS_MAX: usize = 40_000;
/// Rules that a document may come to.
const RULES_MAX: usize = 200;
/// An envelope in a bundle, a statement in it, the document in that.
const WRAPS_MAX: u8 = 4;
const LINE_BYTES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a document hides: `ADVISORIES in PACKAGES because WHY`, a line each.
    fn hides(document: &Value) -> Vec<String> {
        let (repository, digest) = ("team/app".parse().expect("a name"), Digest::sha256(b"image"));
        let subject = Subject { repository: &repository, digest: &digest };
        let bytes = document.to_string();
        let Some(vex) = Vex::read(bytes.as_bytes(), subject).expect("is in bounds") else {
            return vec!["no VEX document".to_owned()];
        };
        let rules = vex.rules(subject, 200);
        let shown = rules.into_iter().map(|(criteria, reason)| {
            let criteria = criteria.checked().expect("a rule can be made of it");
            assert_eq!(criteria.images, BTreeSet::from([digest.clone()]));
            assert_eq!(criteria.repositories, BTreeSet::from(["team/app".to_owned()]));
            let join = |list: BTreeSet<String>| list.into_iter().collect::<Vec<_>>().join(" ");
            format!("{} in [{}] {reason}", join(criteria.advisories), join(criteria.packages))
        });
        shown.collect()
    }

    fn open_vex(statements: &Value) -> Value {
        json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "author": "The Team", "timestamp": "2026-01-02T00:00:00Z",
            "statements": statements
        })
    }

    #[test]
    fn open_vex_is_said_of_packages_or_of_the_image() {
        let image = format!(
            "pkg:oci/app@{}?repository_url=reg.example/team",
            "sha256%3A".to_owned() + Digest::sha256(b"image").hex()
        );
        let document = open_vex(&json!([
            { "vulnerability": { "name": "cve-2024-1", "aliases": ["GHSA-1"] }, "status": "not_affected",
              "justification": "vulnerable_code_not_present", "impact_statement": "never\n built",
              "products": [{ "@id": image, "subcomponents": [
                { "@id": "pkg:deb/debian/openssl@3.0.1-1%2Bb1?arch=amd64" }, { "identifiers": { "purl": "pkg:deb/debian/zlib" } },
                { "@id": "pkg:npm/left-pad@1.0.0" }, { "@id": "pkg:deb/debian/*" } ] }] },
            { "vulnerability": "https://nvd.example/CVE-2024-2", "status": "fixed", "products": [image] },
            { "vulnerability": { "name": "CVE-2024-3" }, "status": "affected", "products": [{ "@id": image }] },
            { "vulnerability": { "name": "CVE-2024-4" }, "status": "under_investigation", "products": [{ "@id": image }] },
            { "vulnerability": { "name": "CVE-2024-5" }, "status": "not_affected",
              "products": [{ "@id": "pkg:oci/app@sha256%3A0000" }, { "@id": "pkg:oci/app?tag=1" }, { "@id": "https://app.example" }] },
            { "vulnerability": { "name": "CVE-2024-6" }, "status": "not_affected", "products": [{ "@id": "pkg:apk/alpine/musl" }] }
        ]));
        assert_eq!(
            hides(&document),
            [
                "CVE-2024-2 in [] OpenVEX: fixed (says The Team)",
                "CVE-2024-6 in [musl] OpenVEX: not affected (says The Team)",
                "CVE-2024-1 GHSA-1 in [openssl@3.0.1-1+b1 zlib] OpenVEX: not affected (vulnerable_code_not_present): never built (says The Team)",
            ]
        );
    }

    #[test]
    fn the_last_word_counts_and_an_exception_is_one() {
        let say = |flaw: &str, status: &str, at: &str, purl: &str| json!({ "vulnerability": { "name": flaw }, "status": status, "timestamp": at, "products": [{ "@id": purl }] });
        let (openssl, image) = ("pkg:deb/debian/openssl", "pkg:oci/app");
        let document = open_vex(&json!([
            // Not in the order in which they were said.
            say("CVE-1", "affected", "2026-03-01T00:00:00Z", openssl),
            say("CVE-1", "not_affected", "2026-02-01T00:00:00Z", openssl),
            say("CVE-2", "affected", "2026-02-01T00:00:00Z", openssl),
            say("CVE-2", "not_affected", "2026-03-01T01:00:00+02:00", openssl),
            say("CVE-3", "not_affected", "2026-02-01T00:00:00Z", image),
            say("CVE-3", "affected", "2026-03-01T00:00:00Z", openssl),
            // Whether what is built of openssl is meant, too, nobody says.
            say("CVE-5", "not_affected", "2026-02-01T00:00:00Z", openssl),
            say("CVE-5", "affected", "2026-02-01T00:00:00Z", "pkg:deb/debian/libssl3@3"),
            say("CVE-6", "under_investigation", "2026-02-01T00:00:00Z", image),
            say("CVE-6", "not_affected", "2026-03-01T00:00:00Z", openssl),
            say("CVE-7", "not_affected", "2026-03-01T00:00:00Z", "pkg:oci/other"),
            { "vulnerability": { "name": "CVE-8", "aliases": ["GHSA-8"] }, "status": "fixed", "products": [{ "@id": openssl }] },
            say("GHSA-8", "affected", "2026-03-01T00:00:00Z", "pkg:deb/debian/zlib"),
            say("CVE-4", "not_affected", "2026-02-01T00:00:00Z", openssl),
            say("CVE-4", "affected", "2026-03-01T00:00:00Z", image),
        ]));
        assert_eq!(hides(&document), ["CVE-2 CVE-6 in [openssl] OpenVEX: not affected (says The Team)"]);
    }

    #[test]
    fn cyclone_dx_finds_its_components() {
        let document = json!({
            "bomFormat": "CycloneDX", "specVersion": "1.5",
            "metadata": { "supplier": { "name": "Acme" }, "component": { "bom-ref": "image", "purl": "pkg:oci/app" } },
            "components": [{ "bom-ref": "a", "purl": "pkg:apk/alpine/busybox@1.36", "components": [{ "bom-ref": "b", "purl": "pkg:apk/alpine/musl" }] }],
            "vulnerabilities": [
                { "id": "CVE-1", "analysis": { "state": "false_positive" }, "affects": [{ "ref": "a" }, { "ref": "urn:cdx:1/1#b" }] },
                { "id": "X-2", "references": [{ "id": "CVE-2" }], "analysis": { "state": "not_affected", "justification": "code_not_reachable", "detail": "d" },
                  "affects": [{ "ref": "image" }] },
                { "id": "CVE-3", "analysis": { "state": "exploitable" }, "affects": [{ "ref": "a" }] },
                { "id": "CVE-4", "affects": [{ "ref": "a" }] },
                { "id": "CVE-5", "analysis": { "state": "resolved" }, "affects": [{ "ref": "nowhere" }] }
            ]
        });
        assert_eq!(
            hides(&document),
            [
                "CVE-1 in [busybox@1.36 musl] CycloneDX: false positive (says Acme)",
                "CVE-2 X-2 in [] CycloneDX: not affected (code_not_reachable): d (says Acme)",
            ]
        );
        assert_eq!(hides(&json!({ "bomFormat": "CycloneDX", "components": [] })), ["no VEX document"]);
    }

    #[test]
    fn csaf_finds_its_products_and_what_is_affected_is_not_hidden() {
        let product = |id: &str, purl: &str| json!({ "name": id, "product": { "product_id": id, "name": id, "product_identification_helper": { "purl": purl } } });
        let document = json!({
            "document": { "category": "csaf_vex", "publisher": { "name": "Vendor" } },
            "product_tree": {
                "branches": [{ "branches": [product("ssl", "pkg:deb/debian/openssl@3"), product("z", "pkg:deb/debian/zlib")] }],
                "full_product_names": [{ "product_id": "os", "name": "no package URL" }],
                "relationships": [{ "category": "default_component_of", "product_reference": "ssl", "relates_to_product_reference": "os",
                                    "full_product_name": { "product_id": "os:ssl", "name": "x" } }]
            },
            "vulnerabilities": [
                { "cve": "CVE-1", "product_status": { "known_not_affected": ["os:ssl", "z", "os"] },
                  "flags": [{ "label": "component_not_present", "product_ids": ["os:ssl"] }],
                  "threats": [{ "category": "impact", "details": "no", "product_ids": ["os:ssl"] }] },
                { "cve": "CVE-2", "product_status": { "fixed": ["z", "ssl"], "known_affected": ["z"] } }
            ]
        });
        assert_eq!(
            hides(&document),
            [
                "CVE-1 in [zlib] CSAF: not affected (says Vendor)",
                "CVE-1 in [openssl@3] CSAF: not affected (component_not_present): no (says Vendor)",
            ]
        );
    }

    #[test]
    fn envelopes_are_opened_and_bounds_are_kept() {
        let statement = json!({ "vulnerability": { "name": "CVE-1" }, "status": "fixed", "products": [{ "@id": "pkg:oci/app" }] });
        let document = open_vex(&json!([statement]));
        let in_toto = json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://openvex.dev/ns/v0.2.0", "predicate": document });
        let payload = base64::engine::general_purpose::STANDARD.encode(in_toto.to_string());
        let envelope =
            json!({ "payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [] });
        let bundle =
            json!({ "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": envelope });
        for wrapped in [&in_toto, &envelope, &bundle] {
            assert_eq!(hides(wrapped), ["CVE-1 in [] OpenVEX: fixed (says The Team)"]);
        }
        let (repository, digest) = ("team/app".parse().expect("a name"), Digest::sha256(b"image"));
        let subject = Subject { repository: &repository, digest: &digest };
        let read = |document: &Value| Vex::read(document.to_string().as_bytes(), subject);
        let deep = (0..9).fold(document, |inner, _| json!({ "predicateType": "x", "predicate": inner }));
        assert_eq!(read(&deep), Err(InvalidVex::TooDeep));
        let many: Vec<Value> = (0..=STATEMENTS_MAX / 2)
            .map(|n| json!({ "vulnerability": { "name": format!("CVE-{n}") }, "status": "fixed", "products": [{ "@id": "pkg:oci/app" }] }))
            .collect();
        assert_eq!(read(&open_vex(&json!(many))), Err(InvalidVex::TooLarge));
        // As many flaws as there may be are not too many for one reason: they become several rules.
        let rules =
            read(&open_vex(&json!(many[1..]))).expect("is in bounds").expect("is one").rules(subject, 9);
        assert_eq!(rules.len(), STATEMENTS_MAX / 2 / ENTRIES_MAX);
        let apart: Vec<Value> = (0..=RULES_MAX)
            .map(|n| json!({ "vulnerability": { "name": "CVE-1" }, "status": "fixed", "status_notes": n.to_string(),
                             "products": [{ "@id": format!("pkg:deb/debian/p{n}") }] }))
            .collect();
        assert_eq!(read(&open_vex(&json!(apart))), Err(InvalidVex::TooLarge));
        for other in [
            "{}",
            "[]",
            "7",
            "{",
            r#"{"payloadType":"x","payload":"?"}"#,
            r#"{"document":{"category":"csaf_base"}}"#,
        ] {
            assert_eq!(Vex::read(other.as_bytes(), subject), Ok(None), "{other}");
        }
    }
}
