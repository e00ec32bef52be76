//! What is altered is noted where a request or command asks for it: what was committed, within bounds, secrets never.

use metastore::{
    Alteration, AlteredField, Fate, ImmutableTags, Metastore, NewRegistry, Notebook, PutRegistry, RegistryId,
    ResourceGroup, Subscription, Tier,
};
use uuid::Uuid;

async fn store() -> (Metastore, RegistryId, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), metastore::Durability::Unflushed);
    let (store, id) = (store.expect("opens"), Uuid::from_u128(7));
    let subscription = Subscription { id, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(id, "Group".to_owned(), "here".to_owned());
    let made = store.create_tenancy(Uuid::from_u128(1), subscription, Tier::Standard, group, "registry", 1);
    assert!(made.await.expect("creates"));
    let registry = store.registries().await.expect("lists")[0].id;
    (store, registry, folder)
}

fn rule(name: &str, tags: &str) -> ImmutableTags {
    ImmutableTags { name: name.to_owned(), repositories: "*".to_owned(), tags: tags.to_owned() }
}

#[tokio::test]
async fn a_notebook_holds_what_was_committed_while_it_was_open() {
    let (store, registry, _folder) = store().await;
    let put = |name: &str, tags: &str| store.put_immutable_tags(registry, rule(name, tags));
    put("before", "a").await.expect("puts");
    let notebook = Notebook::default();
    notebook.during(async { put("before", "b").await.expect("puts") }).await;
    // A task of its own counts if it says so, and others do not.
    let (inside, outside) = (store.clone(), store.clone());
    let task = async move { inside.put_immutable_tags(registry, rule("task", "c")).await };
    notebook.during(async { tokio::spawn(metastore::noted(task)).await }).await.expect("ends").expect("puts");
    outside.put_immutable_tags(registry, rule("after", "d")).await.expect("puts");
    // What fails leaves nothing.
    let failing = store.put_immutable_tags(RegistryId(99), rule("nowhere", "e"));
    notebook.during(failing).await.expect_err("no such registry");
    let field = |before: Option<&str>, after: &str| {
        let (name, before, after) = ("tags".to_owned(), before.map(str::to_owned), Some(after.to_owned()));
        AlteredField { name, before, after }
    };
    let alteration = |fate, name: &str, fields| {
        let (kind, of) = ("immutable tags".to_owned(), "registry".to_owned());
        Alteration { fate, kind, name: name.to_owned(), of, fields }
    };
    let everywhere =
        AlteredField { name: "repositories".to_owned(), before: None, after: Some("*".to_owned()) };
    let taken = notebook.taken();
    assert_eq!(
        (taken.listed, taken.left_out),
        (
            vec![
                alteration(Fate::Changed, "before", vec![field(Some("a"), "b")]),
                alteration(Fate::Made, "task", vec![everywhere, field(None, "c")]),
            ],
            0
        )
    );
    assert!(notebook.taken().is_empty());
}

#[tokio::test]
async fn a_notebook_is_bounded() {
    let (store, registry, _folder) = store().await;
    let notebook = Notebook::default();
    let long = "ä".repeat(10_000);
    let work = async {
        for number in 0..200 {
            let rule = rule(&format!("rule{number}"), if number == 0 { &long } else { "x" });
            store.put_immutable_tags(registry, rule).await.expect("puts");
        }
    };
    notebook.during(work).await;
    let taken = notebook.taken();
    assert_eq!((taken.listed.len(), taken.left_out), (50, 150));
    let tags = taken.listed[0].fields[1].after.as_deref().expect("a value");
    assert!(tags.len() <= 303 && tags.ends_with('…'), "{tags}");
}

#[tokio::test]
async fn a_registry_made_again_is_another_one() {
    let (store, _, _folder) = store().await;
    let wanted = || NewRegistry::new(Uuid::from_u128(7), "Group".to_owned(), "second".to_owned());
    let PutRegistry::Created(made) = store.put_registry(wanted(), 2).await.expect("puts") else {
        panic!("it is not made")
    };
    store.delete_registry(made.id, 3).await.expect("deletes");
    let notebook = Notebook::default();
    let work = async {
        assert!(store.forget_registry(made.id).await.expect("forgets"));
        store.put_registry(wanted(), 4).await.expect("puts");
    };
    notebook.during(work).await;
    let fates: Vec<_> = notebook.taken().listed.into_iter().map(|it| (it.fate, it.kind, it.name)).collect();
    let told = |fate| (fate, "registry".to_owned(), "second".to_owned());
    assert_eq!(fates, [told(Fate::Removed), told(Fate::Made)]);
}
