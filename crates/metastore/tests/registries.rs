//! Registries come, go, come back and go for good.

use assessment::{Gate, Policy};
use metastore::{
    AssignRole, DeleteError, DeleteGroup, DeleteRegistry, Durability, Error, ImmutableTags, LockLevel,
    ManagementLock, Metastore, NewRegistry, Principal, PrincipalKind, PrincipalSecret, PutRegistry, Registry,
    ResourceGroup, RetentionRule, RoleAssignment, Subscription, Tier,
};
use oci::{Digest, Repository};
use uuid::Uuid;

const SUB: Uuid = Uuid::from_u128(7);

async fn store() -> (Metastore, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("opens");
    let subscription = Subscription { id: SUB, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUB, "Group".to_owned(), "here".to_owned());
    let made =
        store.create_tenancy(Uuid::from_u128(1), subscription, Tier::Standard, group, "first", 1).await;
    assert!(made.expect("creates"));
    (store, folder)
}

fn wanted(group: &str, name: &str) -> NewRegistry {
    let (resource_group, name) = (group.to_owned(), name.to_owned());
    NewRegistry::new(SUB, resource_group, name)
}

async fn created(store: &Metastore, name: &str) -> Registry {
    match store.put_registry(wanted("group", name), 5).await.expect("stores") {
        PutRegistry::Created(made) => made,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_one_registry_whatever_its_case() {
    let (store, _folder) = store().await;
    let made = created(&store, "Second").await;
    assert_eq!((made.resource_group.as_str(), made.location.as_str()), ("Group", "here"));
    let tagged = NewRegistry { tags: Some(r#"{"a":"b"}"#.to_owned()), ..wanted("GROUP", "second") };
    let changed = store.put_registry(tagged, 6).await.expect("stores");
    let tags = r#"{"a":"b"}"#.to_owned();
    assert_eq!(changed, PutRegistry::Updated(Registry { tags, changed_ms: 6, ..made }));
    assert_eq!(store.put_registry(wanted("none", "third"), 6).await.expect("stores"), PutRegistry::NoGroup);
    let group = ResourceGroup::new(SUB, "other".to_owned(), "here".to_owned());
    store.put_resource_group(group).await.expect("stores");
    assert_eq!(
        store.put_registry(wanted("other", "SECOND"), 6).await.expect("stores"),
        PutRegistry::NameTaken
    );
    assert!(!store.is_registry_name_free("seconD").await.expect("reads"));
    assert!(store.is_registry_name_free("third").await.expect("reads"));
}

#[tokio::test]
async fn a_deleted_registry_comes_back_with_what_it_held() {
    let (store, _folder) = store().await;
    let made = created(&store, "second").await;
    let (app, digest): (Repository, _) = ("app".parse().expect("a name"), Digest::sha256(b"x"));
    store.commit_blob(made.id, &app, &digest, 1, None, 5).await.expect("commits");
    assert_eq!(store.registry_room(made.id).await.expect("reads").used_bytes, 1);
    assert_eq!(store.delete_registry(made.id, 7).await.expect("deletes"), DeleteRegistry::Deleted);
    assert_eq!(store.delete_registry(made.id, 8).await.expect("deletes"), DeleteRegistry::Missing);
    let names = |all: Vec<Registry>| all.into_iter().map(|found| found.name).collect::<Vec<_>>();
    assert_eq!(names(store.registries().await.expect("lists")), ["first"]);
    assert_eq!(names(store.deleted_registries().await.expect("lists")), ["second"]);
    assert_eq!(store.put_registry(wanted("group", "second"), 9).await.expect("stores"), PutRegistry::Deleted);
    assert_eq!(store.delete_resource_group(SUB, "group").await.expect("asks"), DeleteGroup::NotEmpty);
    assert!(!store.forget_registry(made.id).await.expect("asks"), "it holds a repository");
    assert!(store.restore_registry("SECOND", 10).await.expect("restores"));
    assert!(!store.restore_registry("second", 10).await.expect("restores"), "once");
    assert!(store.linked_blob(made.id, &app, &digest).await.expect("reads").is_some());
}

#[tokio::test]
async fn a_registry_made_later_under_the_name_finds_neither_roles_nor_number() {
    let (store, _folder) = store().await;
    let made = created(&store, "second").await;
    let scope = made.resource_id();
    let principal = Principal::new(Uuid::from_u128(9), "p".to_owned(), PrincipalKind::Program);
    let secret = PrincipalSecret::new(Uuid::new_v4(), String::new());
    let role = |number: u128, scope: String| {
        RoleAssignment::new(Uuid::from_u128(number), Uuid::from_u128(9), Uuid::from_u128(number), scope)
    };
    assert!(
        store.create_principal(principal, secret, role(1, format!("{}X", scope)), 1).await.expect("creates")
    );
    for held in [role(2, scope.to_ascii_uppercase()), role(3, format!("{scope}/repositories/app"))] {
        let given = store.assign_role(held.clone(), 1).await.expect("assigns");
        assert_eq!(given, AssignRole::Assigned(RoleAssignment { created_ms: 1, updated_ms: 1, ..held }));
    }
    store.delete_registry(made.id, 7).await.expect("deletes");
    assert!(store.forget_registry(made.id).await.expect("forgets"));
    let left = store.role_assignments(Uuid::from_u128(9)).await.expect("reads");
    let kept = RoleAssignment { created_ms: 1, updated_ms: 1, ..role(1, format!("{scope}X")) };
    assert_eq!(left, [kept], "the one of a longer name alone");
    assert!(created(&store, "second").await.id > made.id);
}

#[tokio::test]
async fn a_registrys_rules_go_with_it() {
    let (store, _folder) = store().await;
    let made = created(&store, "second").await;
    let all = || "*".to_owned();
    let gate = Gate { name: "g".to_owned(), repositories: all(), policy: Policy::OPEN };
    store.put_gate(made.id, gate).await.expect("stores");
    let rule = ImmutableTags { name: "i".to_owned(), repositories: all(), tags: all() };
    store.put_immutable_tags(made.id, rule).await.expect("stores");
    let rule = RetentionRule { name: "r".to_owned(), repositories: all(), ..RetentionRule::default() };
    store.put_retention_rule(made.id, rule).await.expect("stores");
    store.delete_registry(made.id, 7).await.expect("deletes");
    assert!(store.forget_registry(made.id).await.expect("forgets"));
}

#[tokio::test]
async fn the_default_registry_stays() {
    let (store, _folder) = store().await;
    let first = store.registries().await.expect("lists").remove(0);
    created(&store, "second").await;
    assert_eq!(store.delete_registry(first.id, 7).await.expect("asks"), DeleteRegistry::Default);
}

#[tokio::test]
async fn a_deleted_registry_stays_while_its_own_scope_is_locked_or_disabled() {
    let (store, _folder) = store().await;
    let made = created(&store, "second").await;
    let app: Repository = "app".parse().expect("a name");
    store.commit_blob(made.id, &app, &Digest::sha256(b"x"), 1, None, 5).await.expect("commits");
    store.delete_registry(made.id, 7).await.expect("deletes");
    let group = made.resource_id().split("/providers/").next().expect("a group").to_owned();
    let lock = |scope: &str, level| ManagementLock {
        scope: scope.to_owned(),
        name: "keep".to_owned(),
        level,
        notes: String::new(),
    };
    let subscription = format!("/subscriptions/{SUB}");
    for level in [LockLevel::CanNotDelete, LockLevel::ReadOnly] {
        for scope in [&subscription, &group.to_ascii_uppercase()] {
            store.put_management_lock(lock(scope, level)).await.expect("locks");
            let purged = store.delete_repository(made.id, &app, 8).await;
            assert!(matches!(purged, Err(DeleteError::Store(Error::Locked { .. }))), "{purged:?}");
            let forgotten = store.forget_registry(made.id).await;
            assert!(matches!(forgotten, Err(Error::Locked { .. })), "{forgotten:?}");
            if level == LockLevel::ReadOnly {
                let restored = store.restore_registry("second", 8).await;
                assert!(matches!(restored, Err(Error::Locked { .. })), "{restored:?}");
            }
            store.delete_management_lock(scope, "keep").await.expect("unlocks");
        }
    }
    store.disable_subscription(SUB, true).await.expect("disables");
    let purged = store.delete_repository(made.id, &app, 8).await;
    assert!(matches!(purged, Err(DeleteError::Store(Error::Disabled { .. }))), "{purged:?}");
    assert!(matches!(store.forget_registry(made.id).await, Err(Error::Disabled { .. })));
    store.disable_subscription(SUB, false).await.expect("enables");
    // What forbids to delete forbids no restoring.
    store.put_management_lock(lock(&group, LockLevel::CanNotDelete)).await.expect("locks");
    assert!(store.restore_registry("second", 10).await.expect("restores"));
    assert!(
        store.delete_repository(made.id, &app, 11).await.expect("deletes").is_some(),
        "its content is no scope"
    );
}
