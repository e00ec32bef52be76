//! Every route of this door, as others may list them.

use axum::http::Method;

/// Every route: a method, and a path with its parameters in braces.
pub const ROUTES: [(Method, &str); 6] = [
    (Method::POST, "/providers/Microsoft.ResourceGraph/resources"),
    (Method::GET, "/subscriptions/{subscriptionId}/providers/Microsoft.ResourceGraph/queries"),
    (
        Method::GET,
        "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ResourceGraph/queries",
    ),
    (Method::GET, SAVED),
    (Method::PUT, SAVED),
    (Method::DELETE, SAVED),
];

const SAVED: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ResourceGraph/queries/{queryName}";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Target;

    /// Which of the targets a path names; a new one takes the next number, and its path goes into [`ROUTES`].
    fn kind(target: &Target) -> usize {
        match target {
            Target::Resources => 0,
            Target::Queries { group: None, .. } => 1,
            Target::Queries { name: None, .. } => 2,
            Target::Queries { .. } => 3,
        }
    }

    #[test]
    fn every_kind_of_target_is_listed_with_its_path() {
        let kind_of = |(_, path): &(Method, &'static str)| {
            let path = path.replace("{subscriptionId}", "00000000-0000-0000-0000-000000000002");
            kind(&Target::of(&path).unwrap_or_else(|| panic!("{path} is no path")))
        };
        let listed: BTreeSet<usize> = ROUTES.iter().map(kind_of).collect();
        assert!(listed.into_iter().eq(0..=3));
    }
}
