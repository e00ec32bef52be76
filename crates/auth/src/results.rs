//! Whose results of scans a caller may read: it takes a right to read security results and one to read the
//! registry (azure-wire, section 2), each at the registry or at a repository of it.

use crate::caller::repository_scope;
use crate::{Action, Caller};

/// How much of a registry's results a caller may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultAccess {
    /// All of it.
    Registry,
    /// Those of some repositories: [`Caller::may_read_results_of`] tells which.
    Repositories,
    /// Nothing.
    Nothing,
}

impl Caller {
    /// How much of a registry's results (its ARM id) the caller may read; `action` is the right to read results that
    /// it takes.
    #[must_use]
    pub fn result_access(&self, action: Action, registry: &str) -> ResultAccess {
        if self.may_read_results_at(action, registry) {
            return ResultAccess::Registry;
        }
        let reads_some = READS_REGISTRY.iter().any(|read| self.may_within(*read, registry));
        if reads_some && self.may_within(action, registry) {
            ResultAccess::Repositories
        } else {
            ResultAccess::Nothing
        }
    }

    /// True if the caller may read the results of this repository.
    #[must_use]
    pub fn may_read_results_of(&self, action: Action, registry: &str, repository: &str) -> bool {
        self.may_read_results_at(action, &repository_scope(registry, repository))
    }

    fn may_read_results_at(&self, action: Action, scope: &str) -> bool {
        self.may(action, scope) && READS_REGISTRY.iter().any(|read| self.may(*read, scope))
    }
}

/// Either will do.
const READS_REGISTRY: [Action; 2] = [Action::ReadRegistry, Action::Pull];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Grant;
    use crate::roles::{ACR_PULL, ACR_PUSH, READER, REPOSITORY_READER, SECURITY_READER};
    use uuid::Uuid;

    const REGISTRY: &str =
        "/subscriptions/a/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r";

    /// A role, its scope and its condition.
    type Held<'a> = (Uuid, &'a str, Option<&'a str>);

    fn holding(grants: &[Held<'_>]) -> Caller {
        let grant = |(role, scope, condition): &Held<'_>| Grant::Role {
            role: *role,
            scope: (*scope).to_owned(),
            condition: condition.map(|condition| condition.parse().expect("a condition")),
        };
        let grants = grants.iter().map(grant).collect();
        Caller { id: Uuid::nil(), name: "x".to_owned(), grants, secret: String::new() }
    }

    fn read(caller: &Caller) -> (ResultAccess, Vec<&'static str>) {
        let access = caller.result_access(Action::ReadSubAssessments, REGISTRY);
        let mut all = vec!["app", "team", "team/app", "team/web", "teams"];
        all.retain(|name| caller.may_read_results_of(Action::ReadSubAssessments, REGISTRY, name));
        (access, all)
    }

    #[test]
    fn both_rights_are_needed_where_the_repository_is() {
        use ResultAccess::{Nothing, Registry, Repositories};
        let team = format!("{REGISTRY}/repositories/team");
        let app = format!("{REGISTRY}/repositories/team/app");
        let everything = ["app", "team", "team/app", "team/web", "teams"];
        let of_team = ["team", "team/app", "team/web"];
        let condition =
            "@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'";
        let cases: [(&[Held<'_>], ResultAccess, &[&str]); 10] = [
            (&[(READER, "/", None)], Registry, &everything),
            (
                &[(SECURITY_READER, REGISTRY, None), (ACR_PULL, "/subscriptions/a", None)],
                Registry,
                &everything,
            ),
            (&[(SECURITY_READER, &team, None), (ACR_PULL, &team, None)], Repositories, &of_team),
            (&[(SECURITY_READER, REGISTRY, None), (ACR_PUSH, &team, None)], Repositories, &of_team),
            (&[(SECURITY_READER, &team, None), (ACR_PULL, REGISTRY, None)], Repositories, &of_team),
            (&[(SECURITY_READER, &team, None), (ACR_PULL, &app, None)], Repositories, &["team/app"]),
            (&[(READER, &app, None)], Repositories, &["team/app"]),
            (
                &[(SECURITY_READER, "/", None), (REPOSITORY_READER, REGISTRY, Some(condition))],
                Repositories,
                &["team/app", "team/web"],
            ),
            (&[(SECURITY_READER, "/", None)], Nothing, &[]),
            (&[(ACR_PULL, "/", None)], Nothing, &[]),
        ];
        for (grants, access, repositories) in cases {
            assert_eq!(read(&holding(grants)), (access, repositories.to_vec()), "{grants:?}");
        }
    }
}
