//! What differs between two snapshots, so that only the images it concerns are judged again.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{InvalidSnapshot, Snapshot};
use crate::Namespace;

/// Something of which two snapshots say different things.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// The release.
    pub namespace: Namespace,
    /// The source package; empty if the coverage of the whole namespace appeared, vanished or
    /// became more or less complete.
    pub package: String,
}

/// Every key whose records differ, their descriptions included, and every namespace whose coverage does.
///
/// # Errors
/// [`InvalidSnapshot::Damaged`] if an index or a key is.
pub fn changed<A: AsRef<[u8]>, B: AsRef<[u8]>>(
    old: Option<&Snapshot<A>>,
    new: &Snapshot<B>,
) -> Result<BTreeSet<Changed>, InvalidSnapshot> {
    let mut changes = BTreeSet::new();
    let old_len = old.map_or(0, Snapshot::len);
    let (mut at_old, mut at_new) = (0, 0);
    loop {
        let old_key = old.filter(|_| at_old < old_len).map(|old| old.key(at_old)).transpose()?;
        let new_key = if at_new < new.len() { Some(new.key(at_new)?) } else { None };
        let order = match (old_key, new_key) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old_key), Some(new_key)) => old_key.cmp(new_key),
        };
        match order {
            Ordering::Less => changes.extend(old_key.map(parse).transpose()?),
            Ordering::Greater => changes.extend(new_key.map(parse).transpose()?),
            Ordering::Equal => {
                if old.map(|old| old.block(at_old)).transpose()? != Some(new.block(at_new)?) {
                    changes.extend(new_key.map(parse).transpose()?);
                }
            }
        }
        at_old += usize::from(order.is_le());
        at_new += usize::from(order.is_ge());
    }
    let feeds = old.map_or(&[][..], Snapshot::feeds).iter().chain(new.feeds());
    for namespace in feeds.flat_map(|feed| &feed.namespaces) {
        let before = old.and_then(|old| old.covers(namespace)).map(|coverage| coverage.missing);
        let after = new.covers(namespace).map(|coverage| coverage.missing);
        if before != after {
            changes.insert(Changed { namespace: namespace.clone(), package: String::new() });
        }
    }
    Ok(changes)
}

fn parse(key: &[u8]) -> Result<Changed, InvalidSnapshot> {
    let parsed = std::str::from_utf8(key).ok().and_then(|key| key.split_once('\0')).and_then(
        |(namespace, package)| {
            Some(Changed { namespace: namespace.parse().ok()?, package: package.to_owned() })
        },
    );
    parsed.ok_or(InvalidSnapshot::damaged("a key cannot be read"))
}
