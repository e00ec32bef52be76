//! Who gets into a registry without a role: its tokens, its admin user, everybody.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use auth::hash_secret;
use house::{House, basic, house, image};
use metastore::{NewRegistry, PrincipalSecret, TokenChange, TokenPassword};

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

impl House {
    async fn served(&self) -> metastore::Registry {
        self.metastore.registries().await.unwrap().remove(0)
    }

    /// Changes the registry; what was remembered of it is forgotten, as it is within a second.
    async fn changed(self, change: impl FnOnce(&mut NewRegistry)) -> Self {
        let served = self.served().await;
        let mut wanted = NewRegistry::new(served.subscription, served.resource_group, served.name);
        change(&mut wanted);
        self.metastore.put_registry(wanted, 0).await.unwrap();
        self.restart().await
    }

    /// A token of the registry that holds these actions; its password is `secret`.
    async fn resident(&self, name: &str, actions: &[&str]) {
        let registry = self.served().await.id;
        let actions = actions.iter().map(ToString::to_string).collect();
        self.metastore.put_scope_map(registry, format!("{name}-map"), None, Some(actions), 0).await.unwrap();
        let change = TokenChange { scope_map: Some(format!("{name}-map")), ..TokenChange::default() };
        self.metastore.put_registry_token(registry, name.to_owned(), change, 0).await.unwrap();
        let token = self.metastore.registry_token(registry, name).await.unwrap().unwrap();
        let secret_hash = hash_secret("secret");
        let password =
            TokenPassword { name: "password1".to_owned(), secret_hash, created_ms: 0, expires_ms: None };
        self.metastore.set_token_passwords(registry, token.id, vec![password]).await.unwrap();
    }

    async fn seeded() -> Self {
        let house = house().await;
        for repository in ["team/app", "other"] {
            house.push_blob(repository, b"config").await;
            house.push_manifest(repository, "1", &image(b"config", &[])).await.is(201);
        }
        house
    }
}

#[tokio::test]
async fn a_token_of_the_registry_gets_exactly_what_its_scope_map_says() {
    let house = House::seeded().await;
    house.resident("reads", &["repositories/team/*/content/read"]).await;
    house.resident("looks", &["repositories/team/app/metadata/read"]).await;
    house
        .resident("writes", &["repositories/team/app/content/read", "repositories/team/app/content/write"])
        .await;
    house
        .resident("locks", &["repositories/team/app/metadata/read", "repositories/team/app/metadata/write"])
        .await;
    house.resident("deletes", &["repositories/team/app/content/delete"]).await;
    let blob = oci::Digest::sha256(b"config");
    let requests = [
        ("GET", "/v2/team/app/manifests/1".to_owned(), "", "reads writes"),
        ("HEAD", format!("/v2/team/app/blobs/{blob}"), "", "reads writes"),
        ("GET", "/v2/team/app/tags/list".to_owned(), "", "looks locks"),
        ("GET", "/acr/v1/team%2Fapp/_manifests".to_owned(), "", "looks locks"),
        ("GET", "/acr/v1/team/app".to_owned(), "", "looks locks"),
        ("GET", "/v2/_catalog".to_owned(), "", "looks locks"),
        ("PATCH", "/acr/v1/team/app/_tags/1".to_owned(), "{}", "locks"),
        ("POST", "/v2/team/app/blobs/uploads/".to_owned(), "", "writes"),
        ("DELETE", "/v2/team/app/manifests/absent".to_owned(), "", "deletes"),
        ("GET", "/v2/other/manifests/1".to_owned(), "", ""),
        ("GET", "/v2/other/tags/list".to_owned(), "", ""),
    ];
    for name in ["reads", "looks", "writes", "locks", "deletes"] {
        let scope = "repository:team/app:*%20repository:other:*%20registry:catalog:*";
        let bearer = format!("Bearer {}", house.token(name, &[scope]).await);
        for (method, path, body, allowed) in &requests {
            for credentials in [basic(name, "secret"), bearer.clone()] {
                let answer = house.send(method, path, &[("authorization", &credentials)], *body).await;
                let is_through = ![401, 403].contains(&answer.status);
                let is_allowed = allowed.split(' ').any(|known| known == name);
                assert_eq!(is_through, is_allowed, "{name} {method} {path}: {}", answer.status);
            }
        }
    }
    let listed = house.send("GET", "/v2/_catalog", &[("authorization", &basic("looks", "secret"))], "").await;
    assert_eq!(listed.is(200).json()["repositories"].to_string(), r#"["team/app"]"#);
    // `az acr login` and docker post what they have.
    let body = "grant_type=password&service=lazaret&username=reads&password=secret&scope=repository:team/app:pull,push";
    let granted = house.send("POST", "/oauth2/token", &FORM, body).await.is(200).json();
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    house.send("GET", "/v2/team/app/manifests/1", &[("authorization", &bearer)], "").await.is(200);
}

#[tokio::test]
async fn what_is_taken_away_ends_with_what_was_remembered() {
    let house = House::seeded().await;
    let registry = house.served().await.id;
    house.resident("robot", &["repositories/*/content/read"]).await;
    let path = "/token?service=lazaret&offline_token=true&scope=repository:other:pull";
    let answer =
        house.send("GET", path, &[("authorization", &basic("robot", "secret"))], "").await.is(200).json();
    let (bearer, refresh) =
        (format!("Bearer {}", answer["token"].as_str().unwrap()), answer["refresh_token"].as_str().unwrap());
    let with = [("authorization", bearer.as_str())];
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(200);
    let body = format!(
        "grant_type=refresh_token&service=lazaret&scope=repository:other:pull&refresh_token={refresh}"
    );
    house.send("POST", "/oauth2/token", &FORM, body.clone()).await.is(200);
    let named = basic("00000000-0000-0000-0000-000000000000", refresh);
    house.send("GET", path, &[("authorization", &named)], "").await.is(200);

    // A narrower map narrows the tokens that were issued, too.
    let narrow = Some(vec!["repositories/team/*/content/read".to_owned()]);
    house.metastore.put_scope_map(registry, "robot-map".to_owned(), None, narrow, 0).await.unwrap();
    let house = house.restart().await;
    let refused = house.send("GET", "/v2/other/manifests/1", &with, "").await.is(403);
    assert_eq!(refused.code(), "DENIED");
    let off = TokenChange { is_enabled: Some(false), ..TokenChange::default() };
    house.metastore.put_registry_token(registry, "robot".to_owned(), off, 0).await.unwrap();
    let house = house.restart().await;
    let gone = house.send("GET", "/v2/other/manifests/1", &with, "").await.is(401);
    assert!(gone.header("www-authenticate").ends_with("error=\"invalid_token\""));
    house.send("POST", "/oauth2/token", &FORM, body).await.is(401);
    house.send("GET", path, &[("authorization", &named)], "").await.is(401);
    house.send("GET", "/v2/", &[("authorization", &basic("robot", "secret"))], "").await.is(401);

    // So does another secret of a principal, and a role that is taken away.
    let bearer = format!("Bearer {}", house.token("puller", &["repository:other:pull"]).await);
    let with = [("authorization", bearer.as_str())];
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(200);
    let puller = house.metastore.principal("puller").await.unwrap().unwrap();
    let held = house.metastore.role_assignments(puller.id).await.unwrap().remove(0);
    house.metastore.remove_role(held.id, auth::roles::OWNER).await.unwrap();
    let house = house.restart().await;
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(403);
    let next = PrincipalSecret::new(uuid::Uuid::new_v4(), hash_secret("next"));
    house.metastore.replace_secrets(puller.id, next, 1).await.unwrap();
    let house = house.restart().await;
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(401);
}

#[tokio::test]
async fn everybody_pulls_where_everybody_may_and_is_asked_who_they_are_first() {
    let house = House::seeded().await;
    let nobody = "grant_type=password&service=lazaret&scope=repository:other:pull&refresh_token=";
    house.send("POST", "/oauth2/token", &FORM, nobody).await.is(401);
    let path = "/token?service=lazaret&scope=repository:other:pull,push,delete&scope=registry:catalog:*";
    let token = house.send("GET", path, &[], "").await.is(200).json()["token"].as_str().unwrap().to_owned();
    let before = format!("Bearer {token}");
    house.send("GET", "/v2/other/manifests/1", &[("authorization", &before)], "").await.is(401);

    let house = house.changed(|wanted| wanted.is_public = Some(true)).await;
    // Docker believes that no login is needed where the first request needs none, and never logs in.
    for path in ["/v2/", "/v2/other/manifests/1"] {
        let asked = house.send("GET", path, &[], "").await.is(401);
        assert!(asked.header("www-authenticate").starts_with("Bearer realm="), "{path}");
    }
    let answer = house.send("GET", path, &[], "").await.is(200).json();
    let bearer = format!("Bearer {}", answer["token"].as_str().unwrap());
    let with = [("authorization", bearer.as_str())];
    house.send("GET", "/v2/", &with, "").await.is(200);
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(200);
    house.send("GET", "/v2/other/tags/list", &with, "").await.is(200);
    house.send("GET", "/acr/v1/other", &with, "").await.is(200);
    let listed = house.send("GET", "/v2/_catalog", &with, "").await.is(200).json();
    assert_eq!(listed["repositories"].to_string(), r#"["other","team/app"]"#);
    for (method, path) in [
        ("POST", "/v2/other/blobs/uploads/"),
        ("DELETE", "/v2/other/manifests/1"),
        ("PATCH", "/acr/v1/other"),
        // What the token was not asked for.
        ("GET", "/v2/team/app/manifests/1"),
    ] {
        let refused = house.send(method, path, &with, "").await.is(401);
        assert!(refused.header("www-authenticate").contains("scope=\"repository:"), "{method} {path}");
    }
    let granted = house.send("POST", "/oauth2/token", &FORM, nobody).await.is(200).json();
    assert!(granted["access_token"].is_string() && granted["refresh_token"].is_null());
    // Whoever says who they are is still who they are; a wrong password is still wrong.
    house.send("GET", "/token", &[("authorization", &basic("admin", "wrong"))], "").await.is(401);
    let admin = format!("Bearer {}", house.token("admin", &["repository:other:pull,push"]).await);
    house.send("POST", "/v2/other/blobs/uploads/", &[("authorization", &admin)], "").await.is(202);

    let house = house.changed(|wanted| wanted.is_public = Some(false)).await;
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(401);
}

#[tokio::test]
async fn the_admin_user_does_everything_in_its_registry() {
    let house = House::seeded().await.changed(|wanted| wanted.is_admin_enabled = Some(true)).await;
    let [password, _] = house.auth.admin_passwords(&house.served().await);
    let admin = basic("lazaret", &password);
    let with = [("authorization", admin.as_str())];
    house.send("GET", "/v2/other/manifests/1", &with, "").await.is(200);
    house.send("POST", "/v2/new/blobs/uploads/", &with, "").await.is(202);
    house.send("DELETE", "/acr/v1/other", &with, "").await.is(202);
    let elsewhere =
        house.send("GET", "/v2/", &[("authorization", &admin), ("host", "none.registry.test")], "").await;
    assert_eq!(elsewhere.status, 404);
    let house = house.changed(|wanted| wanted.is_admin_enabled = Some(false)).await;
    house.send("GET", "/v2/", &with, "").await.is(401);
}
