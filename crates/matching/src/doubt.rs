//! Doubts: why an image without findings cannot be called healthy.

use std::collections::BTreeMap;

use advisory::{Namespace, Snapshot, end_of_life};
use assessment::{Cause, END_OF_LIFE};
use inventory::{
    Distro, Ecosystem, ImageInventory, InstalledPackage, Problem, ProblemKind, UnjudgedSoftware,
};
use jiff::civil::Date;

use crate::StaleFeed;
use crate::wording::shown;

pub(crate) fn cause(code: &str, description: String) -> Cause {
    Cause { code: code.to_owned(), description }
}

/// One cause a line, and no more lines than a person reads: the rest is counted.
pub(crate) fn bounded(code: &str, lines: impl IntoIterator<Item = String>) -> Vec<Cause> {
    let mut lines = lines.into_iter();
    let mut causes: Vec<_> = lines.by_ref().take(LINES_MAX).map(|line| cause(code, line)).collect();
    match lines.count() {
        0 => {}
        more => causes.push(cause(code, format!("and {more} more of this kind"))),
    }
    causes
}

/// Parts of the image that nobody could read; one cause a kind.
pub(crate) fn incomplete_inventory(problems: &[Problem]) -> Vec<Cause> {
    let mut kinds: BTreeMap<ProblemKind, (&Problem, usize)> = BTreeMap::new();
    for problem in problems {
        kinds.entry(problem.kind).or_insert((problem, 0)).1 += 1;
    }
    let line = |(kind, (first, count)): (ProblemKind, (&Problem, usize))| {
        let at = first.path.as_deref().map(|path| format!(" at {}", shown(path))).unwrap_or_default();
        let times = if count > 1 { format!(" ({count} times; first{at})") } else { at };
        format!("{}{times}: {}", words(kind), shown(&first.detail))
    };
    bounded("IncompleteInventory", kinds.into_iter().map(line))
}

fn words(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Truncated => "a layer ends before its archive does",
        ProblemKind::BadCompression => "a layer's compression is damaged",
        ProblemKind::BadArchive => "a layer's archive is damaged",
        ProblemKind::UnsupportedFormat => "a layer is packed in a way that cannot be read here",
        ProblemKind::BadRecord => "a package database or release file is damaged",
        ProblemKind::Ambiguous => "readers would disagree on what a layer unpacks to",
        ProblemKind::UnsupportedDatabase => "a package database cannot be read here",
        ProblemKind::LimitReached => "a limit was reached",
        ProblemKind::OutOfMemory => "reading a layer needed more memory than it may have",
        ProblemKind::OutOfTime => "reading a layer needed more time than it may have",
        ProblemKind::OutputTooLarge => "a layer's inventory is larger than it may be",
        ProblemKind::JailViolation => "reading a layer tried what the jail forbids",
        ProblemKind::ExtractorFailed => "reading a layer failed",
        ProblemKind::DatabaseRemoved => "a package database was removed from the image",
        ProblemKind::Unavailable => "a layer is encrypted or not in the registry",
    }
}

/// Software that no matcher here judges.
pub(crate) fn unjudged_software(unjudged: &[UnjudgedSoftware]) -> Vec<Cause> {
    let line = |software: &UnjudgedSoftware| {
        let (kind, example) = (shown(&software.kind), shown(&software.example_path));
        match software.count {
            1 => format!("{kind} software is not judged here: {example}"),
            count => format!("{count} pieces of {kind} software are not judged here; the first is {example}"),
        }
    };
    bounded("UnjudgedSoftware", unjudged.iter().map(line))
}

/// Packages that the image's distribution does not answer for.
pub(crate) fn unknown_distribution(inventory: &ImageInventory, namespace: Option<&Namespace>) -> Vec<Cause> {
    if inventory.distro.is_some() && namespace.is_none() {
        return Vec::new(); // `no_advisory_data` names the distribution
    }
    let own = namespace.map(Namespace::ecosystem);
    let mut strays: BTreeMap<Ecosystem, (&InstalledPackage, usize)> = BTreeMap::new();
    for found in inventory.packages.iter().filter(|found| Some(found.package.ecosystem) != own) {
        strays.entry(found.package.ecosystem).or_insert((found, 0)).1 += 1;
    }
    let line = |(ecosystem, (first, count)): (Ecosystem, (&InstalledPackage, usize))| {
        let (kind, name) = (ecosystem.name(), shown(&first.package.name));
        match namespace {
            Some(namespace) => {
                format!("{count} {kind} packages do not belong to {}; the first is {name}", namespace.title())
            }
            None => format!(
                "the image does not say which distribution its {count} {kind} packages belong to; \
                 the first is {name}"
            ),
        }
    };
    bounded("UnknownDistribution", strays.into_iter().map(line))
}

/// A distribution whose package database nobody found.
pub(crate) fn no_package_database(inventory: &ImageInventory) -> Option<Cause> {
    let nothing_read = inventory.packages.is_empty() && inventory.databases.is_empty();
    let distro = inventory.distro.as_ref().filter(|_| nothing_read)?;
    let description = format!("{} is named in the image, but no package database was found", title(distro));
    Some(cause("NoPackageDatabase", description))
}

/// Advisory data that is missing for this image, in whole or in part, or too old.
pub(crate) fn no_advisory_data<D: AsRef<[u8]>>(
    distro: &Distro,
    namespace: Option<&Namespace>,
    snapshot: Option<&Snapshot<D>>,
    stale: &[StaleFeed],
) -> Vec<Cause> {
    let Some(namespace) = namespace else {
        let description = format!("Lazaret has no advisories for {}", title(distro));
        return vec![cause("NoAdvisoryData", description)];
    };
    let Some(snapshot) = snapshot else {
        let description = "no advisory data is loaded; import some with `lazaret feeds import`".to_owned();
        return vec![cause("NoAdvisoryData", description)];
    };
    let release = namespace.title();
    let Some(coverage) = snapshot.covers(namespace) else {
        let description = format!("the advisory data that is loaded says nothing of {release}");
        return vec![cause("NoAdvisoryData", description)];
    };
    let missing = coverage.missing.iter().map(|repository| {
        format!("the advisory data that is loaded lacks the {repository} repository of {release}")
    });
    let is_of_release = |stale: &&StaleFeed| coverage.feeds.iter().any(|feed| feed.name == stale.feed);
    let old = stale.iter().filter(is_of_release).map(|stale| {
        format!("the advisory data of feed {} is too old to rely on: {}", stale.feed, shown(&stale.detail))
    });
    let mut causes = bounded("NoAdvisoryData", missing);
    causes.extend(bounded("StaleAdvisoryData", old));
    causes
}

/// Not a doubt of ours but a fact worth knowing: nobody looks after this release.
pub(crate) fn past_end_of_life(namespace: &Namespace, today: Date) -> Option<Cause> {
    let end = end_of_life(namespace).filter(|end| *end < today)?;
    let release = namespace.title();
    let description =
        format!("{release} has had no security updates since {end}: later flaws may be missing here");
    Some(cause(END_OF_LIFE, description))
}

fn title(distro: &Distro) -> String {
    let pretty = distro.pretty_name.as_deref().map(shown).filter(|name| !name.is_empty());
    pretty.unwrap_or_else(|| {
        let version = distro.version_id.as_deref().or(distro.codename.as_deref()).unwrap_or_default();
        match shown(&format!("{} {version}", distro.id)) {
            name if name.is_empty() => "an unnamed distribution".to_owned(),
            name => name,
        }
    })
}

/// Causes of one kind that are said one by one.
const LINES_MAX: usize = 20;
