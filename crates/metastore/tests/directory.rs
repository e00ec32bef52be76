//! People and programs, and whose a program is.

use metastore::{
    AddProgram, AddSecret, AssignRole, Durability, Issuer, Metastore, Principal, PrincipalKind,
    PrincipalSecret, Proof, RoleAssignment,
};
use uuid::Uuid;

fn program(number: u128, name: &str, owner: Option<u128>) -> Principal {
    let program = Principal::new(Uuid::from_u128(number), name.to_owned(), PrincipalKind::Program);
    Principal { owner: owner.map(Uuid::from_u128), created_ms: 7, ..program }
}

#[tokio::test]
async fn a_program_has_an_owner_for_as_long_as_there_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("opens");
    let add = async |program: Principal, owned_max| {
        store.add_program(program, Vec::new(), owned_max, 7).await.expect("adds")
    };
    assert_eq!(add(program(1, "a", None), 1).await, AddProgram::Added);
    assert_eq!(add(program(2, "a", None), 1).await, AddProgram::NameTaken);
    assert_eq!(add(program(2, "A", None), 1).await, AddProgram::NameTaken, "it looks like the other");
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

#[tokio::test]
async fn a_principals_own_keys_are_set_and_its_other_secrets_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("opens");
    let one = Uuid::from_u128(1);
    let secret = |number: u128, proof: Proof| PrincipalSecret {
        proof,
        ..PrincipalSecret::new(Uuid::from_u128(number), String::new())
    };
    let keys = |issuer: Option<Issuer>| Proof::Keys { keys: "{}".to_owned(), issuer };
    let issuer =
        || Some(Issuer { issuer: "i".to_owned(), subject: "s".to_owned(), audience: "a".to_owned() });
    let first = vec![
        secret(1, Proof::Hash("h".to_owned())),
        secret(2, keys(None)),
        secret(3, keys(None)),
        secret(4, keys(issuer())),
    ];
    let added = store.add_program(program(1, "a", None), first, 1, 7).await.expect("adds");
    assert_eq!(added, AddProgram::Added);
    let held = async || {
        let mut ids: Vec<_> =
            store.principal_secrets(one).await.expect("reads").iter().map(|held| held.id.as_u128()).collect();
        ids.sort_unstable();
        ids
    };
    let set = async |kept: &[u128], added: Vec<PrincipalSecret>| {
        let kept = kept.iter().copied().map(Uuid::from_u128).collect();
        store.set_own_keys(one, kept, added, 8).await.expect("sets")
    };
    let new = |number| secret(number, keys(None));
    assert_eq!(set(&[3], vec![new(5), new(6)]).await, AddSecret::Added);
    assert_eq!(held().await, [1, 3, 4, 5, 6]);
    assert_eq!(set(&[3, 5, 6], vec![new(7)]).await, AddSecret::TooMany);
    assert_eq!(held().await, [1, 3, 4, 5, 6], "as it was");
    assert_eq!(set(&[1, 4], vec![]).await, AddSecret::Added);
    assert_eq!(held().await, [1, 4]);
    let nobody = store.set_own_keys(Uuid::nil(), vec![], vec![], 8).await.expect("asks");
    assert_eq!(nobody, AddSecret::NoPrincipal);
}
