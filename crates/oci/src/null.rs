//! `null` in documents of strangers.
//!
//! Writers that serialise whole objects send `null` for what they do not set. The reference implementations decode in
//! Go, where that leaves a member unset: so it counts as a member that is not there.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A member that may be missing or `null`; both are its default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list without its entries that are `null`.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let entries = Option::<Vec<Option<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(entries.into_iter().flatten().collect())
}

/// Key-value pairs without those whose value is `null`.
pub(crate) fn pairs<'de, D>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    let pairs = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?;
    Ok(pairs.map(|pairs| pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()))
}
