//! The judgement of one image.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use advisory::{InvalidSnapshot, Namespace, Record, Reference, Snapshot};
use assessment::{Cause, Finding, FindingPackage, ImageState, Verdict};
use inventory::{ImageInventory, InstalledPackage};
use jiff::civil::Date;
use oci::Digest;

use crate::doubt::{self, bounded, cause};
use crate::statement::{Meaning, judge as judge_statement, outranks};
use crate::wording::{reason, remediation};

/// All that a verdict rests on.
pub struct Evidence<'a, D> {
    /// What the image holds.
    pub inventory: &'a ImageInventory,
    /// The command that made a layer, where the image's history tells.
    pub layer_command: &'a dyn Fn(&Digest) -> Option<&'a str>,
    /// What vendors say; `None` before the first import.
    pub snapshot: Option<&'a Snapshot<D>>,
    /// Decides which releases are past their end of life; nothing else.
    pub today: Date,
    /// Feeds that are past their limit of age.
    pub stale: &'a [StaleFeed],
}

/// A feed that was not refreshed for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleFeed {
    /// Its name, as in [`advisory::FeedInfo`].
    pub feed: String,
    /// For people: how old, and what the limit is.
    pub detail: String,
}

/// Judges an image.
///
/// - Unhealthy: at least one finding. Doubts are said beside it.
/// - Unverified: no finding, and a doubt: no, partial or stale advisory data, parts unread, software that
///   nobody here judges, versions without an order.
/// - NotApplicable: nothing identifiable.
/// - Healthy: everything was read, everything is covered, nothing is to be fixed.
#[must_use]
pub fn judge<D: AsRef<[u8]>>(evidence: &Evidence<'_, D>) -> Verdict {
    let inventory = evidence.inventory;
    let namespace = inventory.distro.as_ref().and_then(Namespace::of);

    let mut causes = doubt::incomplete_inventory(&inventory.problems);
    if let Some(distro) = &inventory.distro {
        causes.extend(doubt::no_advisory_data(distro, namespace.as_ref(), evidence.snapshot, evidence.stale));
        causes.extend(doubt::no_package_database(inventory));
    }
    causes.extend(doubt::unknown_distribution(inventory, namespace.as_ref()));
    causes.extend(doubt::unjudged_software(&inventory.unjudged));

    let mut matches = Matches::default();
    if let (Some(namespace), Some(snapshot)) = (&namespace, evidence.snapshot)
        && snapshot.covers(namespace).is_some()
    {
        match_packages(evidence, namespace, snapshot, &mut matches);
    }
    // Those that are no longer known by name are counted with those that are not shown.
    let unnamed = std::iter::repeat_n(String::new(), matches.undetermined_more);
    causes.extend(bounded("Undetermined", matches.undetermined.into_iter().chain(unnamed)));
    causes.extend(matches.damage);
    causes.extend(matches.full);

    let state = if !matches.findings.is_empty() {
        ImageState::Unhealthy
    } else if causes.is_empty() && inventory.is_blank() {
        let description = "no operating system, package or other known software was found in the image";
        causes.push(cause("NothingIdentifiable", description.to_owned()));
        ImageState::NotApplicable
    } else {
        ImageState::without_findings(&causes)
    };
    causes.extend(namespace.and_then(|namespace| doubt::past_end_of_life(&namespace, evidence.today)));
    Verdict { state, causes, findings: sorted(matches.findings) }
}

#[derive(Default)]
struct Matches<'a> {
    findings: BTreeMap<(&'a str, &'a InstalledPackage), Finding>,
    undetermined: BTreeSet<String>,
    /// Further ones, of which the text is not kept.
    undetermined_more: usize,
    damage: Option<Cause>,
    /// What findings weigh so far.
    finding_bytes: usize,
    /// Statements held against a version so far.
    statements: u64,
    /// Set once one of the two is at its limit: then nothing more is matched.
    full: Option<Cause>,
}

impl Matches<'_> {
    fn doubt(&mut self, line: String) {
        if self.undetermined.len() < UNDETERMINED_MAX {
            self.undetermined.insert(line);
        } else if !self.undetermined.contains(&line) {
            self.undetermined_more += 1;
        }
    }

    fn fill(&mut self, what: String) {
        let text = format!("{what}, as many as one image may have: the rest of its packages was not judged");
        self.full = Some(cause("LimitReached", text));
    }
}

/// What a finding costs in memory, roughly.
fn weight(finding: &Finding) -> usize {
    let package = &finding.package;
    let texts = [
        &finding.id,
        &finding.title,
        &finding.description,
        &finding.reason,
        &finding.remediation,
        &finding.source,
        &finding.source_version,
        &package.name,
        &package.version,
        &package.path,
    ];
    let command = package.layer_command.as_ref().map_or(0, String::len);
    let links = finding.references.iter().map(|link| link.title.len() + link.link.len() + 64).sum::<usize>();
    texts.into_iter().map(String::len).sum::<usize>() + command + links + FINDING_BYTES
}

fn match_packages<'a, D: AsRef<[u8]>>(
    evidence: &Evidence<'a, D>,
    namespace: &Namespace,
    snapshot: &'a Snapshot<D>,
    matches: &mut Matches<'a>,
) {
    // Binary packages of one source share its statements: each is read once.
    let mut sources: BTreeMap<(&str, &str), Vec<&InstalledPackage>> = BTreeMap::new();
    for found in &evidence.inventory.packages {
        if found.package.ecosystem == namespace.ecosystem() {
            let source = &found.package.source;
            sources.entry((&source.name, &source.version)).or_default().push(found);
        }
    }
    for ((name, version), packages) in sources {
        if let Err(error) = match_source(evidence, namespace, snapshot, (name, version), &packages, matches) {
            matches.damage = Some(cause("DamagedAdvisoryData", error.to_string()));
        }
        if matches.full.is_some() {
            return;
        }
    }
}

fn match_source<'a, D: AsRef<[u8]>>(
    evidence: &Evidence<'a, D>,
    namespace: &Namespace,
    snapshot: &'a Snapshot<D>,
    (name, version): (&str, &str),
    packages: &[&'a InstalledPackage],
    matches: &mut Matches<'a>,
) -> Result<(), InvalidSnapshot> {
    let ecosystem = namespace.ecosystem();
    for record in snapshot.lookup(namespace, name)? {
        let record = record?;
        matches.statements += 1;
        if matches.statements > STATEMENTS_MAX {
            matches.fill(format!("more than {STATEMENTS_MAX} statements speak of its packages"));
            return Ok(());
        }
        match judge_statement(ecosystem, version, &record) {
            Meaning::NotAffected => {}
            Meaning::Undetermined { why } => {
                matches.doubt(format!("{} on {name} {version}: {why}", record.id));
            }
            Meaning::Affected { fixed_version, fix_state } => {
                for found in packages {
                    let command = (evidence.layer_command)(&found.layer);
                    let new = Finding {
                        fix_state,
                        fixed_version: fixed_version.map(str::to_owned),
                        reason: reason(namespace, found, fixed_version),
                        remediation: remediation(namespace, found, fixed_version, fix_state, command),
                        ..finding(snapshot, &record, found, command)?
                    };
                    let key = (record.id, *found);
                    let worth = match matches.findings.get(&key) {
                        Some(old) => outranks(ecosystem, old.fixed_version.as_deref(), fixed_version),
                        None => true,
                    };
                    if worth {
                        matches.finding_bytes += weight(&new);
                        let before = matches.findings.insert(key, new);
                        matches.finding_bytes -= before.as_ref().map_or(0, weight);
                    }
                    if matches.finding_bytes > FINDINGS_BYTES_MAX {
                        matches.fill(format!("there are {} findings", matches.findings.len()));
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// What a finding says whatever the version.
fn finding<D: AsRef<[u8]>>(
    snapshot: &Snapshot<D>,
    record: &Record<'_>,
    found: &InstalledPackage,
    command: Option<&str>,
) -> Result<Finding, InvalidSnapshot> {
    let (package, details) = (&found.package, snapshot.details(record.details)?);
    let reference =
        |(title, link): &(&str, &str)| Reference { title: (*title).to_owned(), link: (*link).to_owned() };
    Ok(Finding {
        id: record.id.to_owned(),
        aliases: record.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        title: format!("{} in {}", record.id, package.source.name),
        description: details.description.to_owned(),
        severity: record.severity,
        severity_source: record.severity_source.to_owned(),
        package: FindingPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            ecosystem: package.ecosystem.name().to_owned(),
            architecture: package.architecture.clone(),
            path: found.path.clone(),
            layer: found.layer.clone(),
            layer_command: command.map(str::to_owned),
        },
        source: package.source.name.clone(),
        source_version: package.source.version.clone(),
        fixed_version: None,
        fix_state: assessment::FixState::NoneYet,
        remediation: String::new(),
        reason: String::new(),
        feed: record.feed.to_owned(),
        references: details.references.iter().map(reference).collect(),
    })
}

/// Worst first, then by id, then by package (the map's own order).
fn sorted(findings: BTreeMap<(&str, &InstalledPackage), Finding>) -> Vec<Finding> {
    let mut findings: Vec<_> = findings.into_values().collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    findings
}

/// Findings of one image in memory: some 15,000. Images of ten thousand findings are known.
const FINDINGS_BYTES_MAX: usize = 32 << 20;

/// A finding without its texts: its fields, its place in a map, and what each text takes at least.
const FINDING_BYTES: usize = 1_024;

/// Statements held against the versions of one image: a second or two. A large image has a hundred thousand.
const STATEMENTS_MAX: u64 = 5_000_000;

/// Undetermined statements that are kept by name; far fewer are shown.
const UNDETERMINED_MAX: usize = 1_000;
