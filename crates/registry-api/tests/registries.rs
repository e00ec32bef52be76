//! Several registries behind one door: the host says which.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use house::{House, basic, house};
use metastore::{DeleteRegistry, NewRegistry, PutRegistry, RegistryId};

const OTHER: (&str, &str) = ("host", "Other.registry.test:5443");
const HOME: (&str, &str) = ("host", "lazaret.registry.test");

async fn with_another() -> (House, RegistryId) {
    let house = house().await;
    let subscription = house.metastore.registries().await.unwrap()[0].subscription;
    let wanted = NewRegistry::new(subscription, "default".to_owned(), "other".to_owned());
    let PutRegistry::Created(made) = house.metastore.put_registry(wanted, 5).await.unwrap() else {
        panic!("it is new")
    };
    (house, made.id)
}

#[tokio::test]
async fn repositories_of_two_registries_never_mix() {
    let (house, _) = with_another().await;
    let digest = house.push_blob("app", b"here alone").await;
    let path = format!("/v2/app/blobs/{digest}");
    house.ask("GET", &path, &[HOME], b"").await.is(200);
    house.ask("GET", &path, &[("host", "10.0.0.1:5000")], b"").await.is(200);
    house.ask("GET", &path, &[OTHER], b"").await.is(404);
    // Nor does a mount reach across, named or not.
    for from in ["&from=app", ""] {
        let path = format!("/v2/mine/blobs/uploads/?mount={digest}{from}");
        house.ask("POST", &path, &[OTHER], b"").await.is(202);
    }
    house
        .ask("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[OTHER], b"here alone")
        .await
        .is(201);
    let catalog = |answer: house::Answer| answer.is(200).json()["repositories"].clone();
    assert_eq!(
        catalog(house.ask("GET", "/v2/_catalog", &[OTHER], b"").await),
        serde_json::json!(["app", "mine"])
    );
    house.ask("DELETE", "/acr/v1/app", &[OTHER], b"").await.is(202);
    house.ask("GET", &path, &[OTHER], b"").await.is(404);
    house.ask("GET", &path, &[HOME], b"").await.is(200);
}

#[tokio::test]
async fn a_token_of_one_registry_is_worth_nothing_at_another() {
    let (house, _) = with_another().await;
    house.push_blob("app", b"x").await;
    let token = house.token("admin", &["repository:app:pull", "registry:catalog:*"]).await;
    let bearer = format!("Bearer {token}");
    house.send("GET", "/v2/_catalog", &[("authorization", &bearer), HOME], "").await.is(200);
    house.send("GET", "/v2/_catalog", &[("authorization", &bearer), OTHER], "").await.is(401);
    let path = "/token?service=lazaret&offline_token=true";
    let admin = basic("admin", "secret");
    let refresh = house.send("GET", path, &[("authorization", &admin)], "").await.is(200).json();
    let form = format!(
        "grant_type=refresh_token&service=lazaret&scope=registry:catalog:*&refresh_token={}",
        refresh["refresh_token"].as_str().unwrap()
    );
    let form_type = ("content-type", "application/x-www-form-urlencoded");
    house.send("POST", "/oauth2/token", &[form_type, HOME], form.clone()).await.is(200);
    house.send("POST", "/oauth2/token", &[form_type, OTHER], form).await.is(401);
}

#[tokio::test]
async fn a_role_at_one_registry_is_none_at_another() {
    let (house, _) = with_another().await;
    house.push_blob("app", b"x").await;
    let puller = basic("puller", "secret");
    house.send("GET", "/v2/_catalog", &[("authorization", &puller), HOME], "").await.is(200);
    house.send("GET", "/v2/_catalog", &[("authorization", &puller), OTHER], "").await.is(403);
}

#[tokio::test]
async fn a_host_beneath_the_domain_never_falls_to_the_default_registry() {
    let (house, _) = with_another().await;
    for host in ["nothere.registry.test", "nothere.registry.test:5443", "other-x.registry.test"] {
        let answer = house.ask("GET", "/v2/", &[("host", host)], b"").await.is(404);
        assert_eq!(answer.code(), "NAME_UNKNOWN", "{host}");
    }
    house.ask("GET", "/v2/", &[("host", "registry.test")], b"").await.is(200);
}

#[tokio::test]
async fn a_deleted_registry_is_served_no_more_and_a_restored_one_at_once() {
    let (house, other) = with_another().await;
    assert_eq!(house.metastore.delete_registry(other, 9).await.unwrap(), DeleteRegistry::Deleted);
    house.ask("GET", "/v2/", &[OTHER], b"").await.is(404);
    assert!(house.metastore.restore_registry("OTHER", 10).await.unwrap());
    house.ask("GET", "/v2/", &[OTHER], b"").await.is(200);
}
