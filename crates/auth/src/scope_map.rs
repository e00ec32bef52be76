//! Scope maps: what a registry's tokens may do in which of its repositories (Azure Container Registry,
//! "Create a token with repository-scoped permissions").

use std::fmt;
use std::str::FromStr;

use crate::Access;

/// One action of a scope map: `repositories/team/*/content/read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeAction {
    /// The repository's name; a star at its end stands for anything.
    repositories: String,
    access: Access,
}

/// The text is no action of a scope map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no action: write repositories/NAME/content/read, or content/write, content/delete, metadata/read or \
     metadata/write; NAME may end with *"
)]
pub struct InvalidScopeAction {
    text: String,
}

impl ScopeAction {
    /// Everything in every repository.
    pub(crate) fn all() -> Vec<Self> {
        KINDS.iter().map(|(_, access)| Self { repositories: "*".to_owned(), access: *access }).collect()
    }

    /// What everybody may do where a registry lets everybody pull.
    pub(crate) fn public() -> Vec<Self> {
        let is_public = |action: &Self| [Access::Pull, Access::MetadataRead].contains(&action.access);
        Self::all().into_iter().filter(is_public).collect()
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn allows(&self, action: crate::Action, repository: &str) -> bool {
        let is_named = match self.repositories.strip_suffix('*') {
            Some(start) => repository.starts_with(start),
            None => repository == self.repositories,
        };
        is_named && action.access() == Some(self.access)
    }
}

impl FromStr for ScopeAction {
    type Err = InvalidScopeAction;

    /// ```
    /// assert!("repositories/team/app/content/read".parse::<auth::ScopeAction>().is_ok());
    /// assert!("repositories/*/app/content/read".parse::<auth::ScopeAction>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, InvalidScopeAction> {
        let invalid = || InvalidScopeAction { text: text.chars().take(100).collect() };
        let rest = text.strip_prefix("repositories/").ok_or_else(invalid)?;
        let found = KINDS.iter().find_map(|(kind, access)| {
            let name = rest.strip_suffix(kind)?.strip_suffix('/')?;
            Some((name, *access))
        });
        let (name, access) = found.ok_or_else(invalid)?;
        let start = name.strip_suffix('*').unwrap_or(name);
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
        let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && start.bytes().all(is_plain);
        if !is_name || name.starts_with('/') || name.ends_with('/') {
            return Err(invalid());
        }
        Ok(Self { repositories: name.to_owned(), access })
    }
}

impl fmt::Display for ScopeAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = KINDS.iter().find(|(_, access)| *access == self.access).map_or("", |(kind, _)| kind);
        write!(formatter, "repositories/{}/{kind}", self.repositories)
    }
}

/// A scope map that every registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemScopeMap {
    /// Its name, which begins as no other's.
    pub name: &'static str,
    /// What it is for, in Azure's words.
    pub description: &'static str,
    /// What it allows.
    pub actions: &'static [&'static str],
}

impl SystemScopeMap {
    /// The one of that name, whatever its case.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SYSTEM_SCOPE_MAPS.iter().find(|map| map.name.eq_ignore_ascii_case(name))
    }
}

/// The scope maps that every registry has, by name.
pub const SYSTEM_SCOPE_MAPS: [SystemScopeMap; 5] = [
    SystemScopeMap {
        name: "_repositories_admin",
        description: "Can perform all read, write and delete operations on the registry",
        actions: &[
            "repositories/*/metadata/read",
            "repositories/*/metadata/write",
            "repositories/*/content/read",
            "repositories/*/content/write",
            "repositories/*/content/delete",
        ],
    },
    SystemScopeMap {
        name: "_repositories_pull",
        description: "Can pull any repository of the registry",
        actions: &["repositories/*/content/read"],
    },
    SystemScopeMap {
        name: "_repositories_pull_metadata_read",
        description: "Can perform all read operations on the registry",
        actions: &["repositories/*/content/read", "repositories/*/metadata/read"],
    },
    SystemScopeMap {
        name: "_repositories_push",
        description: "Can push to any repository of the registry",
        actions: &["repositories/*/content/read", "repositories/*/content/write"],
    },
    SystemScopeMap {
        name: "_repositories_push_metadata_write",
        description: "Can perform all read and write operations on the registry",
        actions: &[
            "repositories/*/metadata/read",
            "repositories/*/metadata/write",
            "repositories/*/content/read",
            "repositories/*/content/write",
        ],
    },
];

const KINDS: [(&str, Access); 5] = [
    ("content/read", Access::Pull),
    ("content/write", Access::Push),
    ("content/delete", Access::Delete),
    ("metadata/read", Access::MetadataRead),
    ("metadata/write", Access::MetadataWrite),
];

/// Of a repository.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    #[test]
    fn an_action_is_printed_as_it_was_written_and_allows_what_it_says() {
        for (text, action, repository, wanted) in [
            ("repositories/app/content/read", Action::Pull, "app", true),
            ("repositories/app/content/read", Action::Pull, "app2", false),
            ("repositories/app/content/read", Action::ReadArtifactMetadata, "app", false),
            ("repositories/team/*/content/write", Action::Push, "team/app", true),
            ("repositories/team/*/content/write", Action::Push, "team", false),
            ("repositories/te*/content/delete", Action::Delete, "team", true),
            ("repositories/*/metadata/read", Action::ReadArtifactMetadata, "a/b/c", true),
            (
                "repositories/a/content/read/metadata/write",
                Action::WriteArtifactMetadata,
                "a/content/read",
                true,
            ),
        ] {
            let given: ScopeAction = text.parse().expect("an action");
            assert_eq!(
                (given.to_string().as_str(), given.allows(action, repository)),
                (text, wanted),
                "{repository}"
            );
        }
        for text in [
            "",
            "repositories/app",
            "repositories//content/read",
            "repositories/a*b/content/read",
            "repositories/**/content/read",
            "repositories/App/content/read",
            "repositories/app/metadata/delete",
            "repositories/app/content/read/",
            "gateway/reg/config/read",
            "Repositories/app/content/read",
        ] {
            assert!(text.parse::<ScopeAction>().is_err(), "{text}");
        }
        for map in SYSTEM_SCOPE_MAPS {
            assert!(map.actions.iter().all(|action| action.parse::<ScopeAction>().is_ok()), "{}", map.name);
        }
    }
}
