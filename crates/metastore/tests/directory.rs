//! People and programs, and whose a program is.

use metastore::{AddProgram, AssignRole, Durability, Metastore, Principal, PrincipalKind, RoleAssignment};
use uuid::Uuid;

fn program(number: u128, name: &str, owner: Option<u128>) -> Principal {
    let program = Principal::new(Uuid::from_u128(number), name.to_owned(), PrincipalKind::Program);
    Principal { owner: owner.map(Uuid::from_u128), created_ms: 7, ..program }
}

#[tokio::test]
async fn a_program_has_an_owner_for_as_long_as_there_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("opens");
    let add =
        async |program: Principal, owned_max| store.add_program(program, owned_max, 7).await.expect("adds");
    assert_eq!(add(program(1, "a", None), 1).await, AddProgram::Added);
    assert_eq!(add(program(2, "a", None), 1).await, AddProgram::NameTaken);
    assert_eq!(add(program(2, "b", Some(1)), 1).await, AddProgram::Added);
    assert_eq!(add(program(3, "c", Some(1)), 1).await, AddProgram::TooMany);
    assert_eq!(store.principal("b").await.expect("reads"), Some(program(2, "b", Some(1))));
    assert!(store.principal_secrets(Uuid::from_u128(2)).await.expect("reads").is_empty());

    let role = RoleAssignment::new(Uuid::from_u128(9), Uuid::from_u128(2), Uuid::nil(), "/".to_owned());
    assert!(matches!(store.assign_role(role, 7).await.expect("gives"), AssignRole::Assigned(_)));
    assert!(store.set_principal_kind(Uuid::from_u128(2), PrincipalKind::Person).await.expect("changes"));
    assert!(!store.set_principal_kind(Uuid::from_u128(4), PrincipalKind::Person).await.expect("asks"));
    let held = store.all_role_assignments().await.expect("reads");
    assert_eq!(held[0].principal_kind, PrincipalKind::Person);

    assert!(store.delete_principal(Uuid::from_u128(1), Uuid::nil()).await.expect("deletes"));
    let left = store.principals().await.expect("reads");
    let kept = Principal { kind: PrincipalKind::Person, ..program(2, "b", None) };
    assert_eq!(left, [kept], "it stays, and is nobody's");
}
