//! Which advisory data an image's verdict rests on.

use std::collections::BTreeSet;

use advisory::Namespace;
use inventory::ImageInventory;

/// The keys whose change makes this image worth judging again (see [`advisory::Changed`]): one for each
/// source package, and one with the empty package for the coverage of the namespace.
///
/// Empty for an image that no namespace judges.
#[must_use]
pub fn keys(inventory: &ImageInventory) -> BTreeSet<(Namespace, String)> {
    let Some(namespace) = inventory.distro.as_ref().and_then(Namespace::of) else {
        return BTreeSet::new();
    };
    let own = inventory.packages.iter().filter(|found| found.package.ecosystem == namespace.ecosystem());
    let sources = own.map(|found| found.package.source.name.clone());
    sources.chain([String::new()]).map(|source| (namespace.clone(), source)).collect()
}
