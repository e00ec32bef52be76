//! Who may do what: credentials, tokens, challenges; and hostile requests.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use auth::roles;
use house::{basic, digest_of, house, image};
use metastore::{AssignRole, RoleAssignment};
use oci::Digest;
use serde_json::json;
use uuid::Uuid;

const UNKNOWN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test]
async fn whoever_sends_no_credentials_is_told_where_to_get_a_token() {
    let house = house().await;
    for (method, path, scope) in [
        ("GET", "/v2/", None),
        ("GET", "/v2/_catalog", Some("registry:catalog:*")),
        ("GET", "/v2/a/b/tags/list", Some("repository:a/b:metadata_read")),
        ("GET", "/acr/v1/a/b", Some("repository:a/b:metadata_read")),
        ("PATCH", "/acr/v1/a/b/_tags/1", Some("repository:a/b:metadata_write")),
        ("DELETE", "/acr/v1/a/b", Some("repository:a/b:delete")),
        ("HEAD", "/v2/a/b/manifests/1", Some("repository:a/b:pull")),
        ("PUT", "/v2/a/b/manifests/1", Some("repository:a/b:pull,push")),
        ("DELETE", "/v2/a/b/manifests/1", Some("repository:a/b:delete")),
        ("POST", "/v2/a/b/blobs/uploads/", Some("repository:a/b:pull,push")),
        ("PATCH", "/v2/a/b/blobs/uploads/x", Some("repository:a/b:pull,push")),
        ("GET", "/v2/NO/NAME/tags/list", None),
        ("GET", "/v2/nothing/here", None),
    ] {
        let answer = house.send(method, path, &[], "").await.is(401);
        let scope = scope.map_or(String::new(), |scope| format!(",scope=\"{scope}\""));
        let wanted = format!("Bearer realm=\"http://localhost:5000/token\",service=\"lazaret\"{scope}");
        assert_eq!(answer.header("www-authenticate"), wanted, "{method} {path}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
}

/// Every kind of request by every kind of caller: the whole table.
#[tokio::test]
async fn roles_decide() {
    let house = house().await;
    for repository in ["team/app", "other"] {
        house.push_blob(repository, b"config").await;
        house.push_manifest(repository, "1", &image(b"config", &[])).await.is(201);
    }
    let requests = [
        ("GET", "manifests/1", "pull"),
        ("GET", "tags/list", "pull"),
        ("GET", &format!("referrers/{UNKNOWN}"), "pull"),
        ("HEAD", &format!("blobs/{}", Digest::sha256(b"config")), "pull"),
        ("POST", "blobs/uploads/", "push"),
        ("PUT", "manifests/2", "push"),
        ("DELETE", "manifests/absent", "delete"),
        ("DELETE", &format!("blobs/{UNKNOWN}"), "delete"),
    ];
    for (name, repository, allowed) in [
        ("admin", "team/app", ["pull", "push", "delete"].as_slice()),
        ("admin", "other", &["pull", "push", "delete"]),
        ("puller", "team/app", &["pull"]),
        ("puller", "other", &["pull"]),
        ("puller", "absent", &["pull"]),
        ("pusher", "team/app", &["pull", "push"]),
        ("pusher", "team/absent", &["pull", "push"]),
        ("pusher", "teams", &[]),
        ("pusher", "other", &[]),
        ("stranger", "team/app", &[]),
        ("stranger", "absent", &[]),
    ] {
        let scope = format!("repository:{repository}:pull,push,delete");
        let bearer = format!("Bearer {}", house.token(name, &[&scope]).await);
        for (method, path, access) in requests {
            for credentials in [basic(name, "secret"), bearer.clone()] {
                let path = format!("/v2/{repository}/{path}");
                let answer = house.send(method, &path, &[("authorization", &credentials)], "").await;
                let is_through = answer.status != 401 && answer.status != 403;
                let note = format!("{name} {method} {path} {}", answer.status);
                assert_eq!(is_through, allowed.contains(&access), "{note}");
                if !is_through {
                    assert_eq!(answer.status, 403, "{note}");
                    assert!(method == "HEAD" || answer.code() == "DENIED", "{note}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_allows_what_it_says_and_no_more() {
    let house = house().await;
    house.push_blob("a", b"config").await;
    house.push_manifest("a", "1", &image(b"config", &[])).await.is(201);
    let bearer = format!("Bearer {}", house.token("admin", &["repository:a:pull"]).await);
    let with = [("authorization", bearer.as_str())];
    house.send("GET", "/v2/", &with, "").await.is(200);
    house.send("GET", "/v2/a/manifests/1", &with, "").await.is(200);
    let more = house.send("POST", "/v2/a/blobs/uploads/", &with, "").await.is(401);
    let challenge = more.header("www-authenticate");
    assert!(
        challenge.ends_with("scope=\"repository:a:pull,push\",error=\"insufficient_scope\""),
        "{challenge}"
    );
    house.send("GET", "/v2/b/manifests/1", &with, "").await.is(401);
    house.send("GET", "/v2/_catalog", &with, "").await.is(401);

    let anonymous =
        house.send("GET", "/token?service=lazaret&scope=repository:a:pull", &[], "").await.is(200);
    let bearer = format!("Bearer {}", anonymous.json()["token"].as_str().unwrap());
    let refused = house.send("GET", "/v2/a/manifests/1", &[("authorization", &bearer)], "").await.is(401);
    assert!(refused.header("www-authenticate").contains("scope=\"repository:a:pull\""));
    for bad in ["Bearer x.y.z", "Bearer ", "Digest x", "nonsense"] {
        let refused = house.send("GET", "/v2/", &[("authorization", bad)], "").await.is(401);
        assert!(refused.header("www-authenticate").ends_with("error=\"invalid_token\""), "{bad}");
    }
}

#[tokio::test]
async fn the_token_endpoint_speaks_both_of_dockers_dialects() {
    let house = house().await;
    let admin = basic("admin", "secret");
    let path = "/token?service=lazaret&offline_token=true&client_id=docker&account=admin\
                &scope=repository:host:5000/x/y:pull,push%20repository(plugin):p:pull&scope=registry:catalog:*\
                &scope=repository:z:*&scope=nonsense&scope=repository:q:fly";
    let answer = house.send("GET", path, &[("authorization", &admin)], "").await.is(200);
    let document = answer.json();
    assert_eq!(document["token"], document["access_token"]);
    assert_eq!((document["expires_in"].as_i64(), answer.header("cache-control")), (Some(600), "no-store"));
    assert_eq!(document["issued_at"], "2027-01-15T08:00:00Z");
    let payload = document["token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let claims: serde_json::Value = serde_json::from_slice(
        &base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap(),
    )
    .unwrap();
    let access = json!([
        { "type": "repository", "name": "host:5000/x/y", "actions": ["pull", "push"] },
        { "type": "repository", "name": "p", "actions": ["pull"] },
        { "type": "registry", "name": "catalog", "actions": ["*"] },
        { "type": "repository", "name": "z", "actions":
            ["pull", "push", "delete", "metadata_read", "metadata_write", "deleted_read", "deleted_restore"] },
    ]);
    assert_eq!(claims["access"], access);

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let refresh = document["refresh_token"].as_str().unwrap();
    let body = format!(
        "grant_type=refresh_token&service=lazaret&client_id=docker&scope=repository:a:pull&refresh_token={refresh}"
    );
    let renewed = house.send("POST", "/token", &form, body).await.is(200).json();
    assert_eq!(
        (renewed["scope"].as_str(), renewed["refresh_token"].as_str()),
        (Some("repository:a:pull"), Some(refresh))
    );
    let body =
        "grant_type=password&service=lazaret&client_id=x&username=admin&password=secret&access_type=offline";
    let granted = house.send("POST", "/oauth2/token", &form, body).await.is(200).json();
    assert!(granted["access_token"].is_string() && granted["refresh_token"].is_string());
    assert!(
        house.send("GET", "/token", &[("authorization", &admin)], "").await.json()["refresh_token"].is_null()
    );

    let token = document["token"].as_str().unwrap();
    for (body, status) in [
        ("grant_type=password&username=admin&password=wrong".to_owned(), 401),
        (format!("grant_type=refresh_token&refresh_token={token}"), 401),
        ("grant_type=refresh_token&refresh_token=x".to_owned(), 401),
        ("grant_type=authorization_code&code=x".to_owned(), 400),
        ("grant_type=password&service=other&username=admin&password=secret".to_owned(), 400),
    ] {
        house.send("POST", "/token", &form, body.clone()).await.is(status);
    }
    house.send("GET", "/token", &[("authorization", &basic("admin", "wrong"))], "").await.is(401);
    for attempt in 0..10 {
        let answer = house.send("GET", "/token", &[("authorization", &basic("puller", "guess"))], "").await;
        assert_eq!(answer.status, 401, "{attempt}");
    }
    let locked =
        house.send("GET", "/v2/", &[("authorization", &basic("puller", "secret"))], "").await.is(429);
    assert_eq!((locked.code().as_str(), locked.header("retry-after")), ("TOOMANYREQUESTS", "60"));
}

#[tokio::test]
async fn a_mount_shows_nobody_what_they_may_not_see() {
    let house = house().await;
    let blob = house.push_blob("secret", b"of the others").await;
    let pusher = basic("pusher", "secret");
    let with = [("authorization", pusher.as_str()), ("content-length", "0")];
    for from in ["&from=secret", "", "&from=absent"] {
        let path = format!("/v2/team/app/blobs/uploads/?mount={blob}{from}");
        house.send("POST", &path, &with, "").await.is(202);
    }
    house.send("HEAD", &format!("/v2/team/app/blobs/{blob}"), &with[..1], "").await.is(404);
    // A token for the target alone does not open the source: its holder, who may pull there, is told what to ask for.
    let bearer = format!("Bearer {}", house.token("admin", &["repository:x:pull,push"]).await);
    let with = [("authorization", bearer.as_str()), ("content-length", "0")];
    let mount = format!("/v2/x/blobs/uploads/?mount={blob}&from=secret");
    let refused = house.send("POST", &mount, &with, "").await.is(401);
    assert!(refused.header("www-authenticate").contains("repository:secret:pull"));
    // With the right token it is mounted, as long as the right is held: what was taken away is gone from old tokens.
    let scopes = ["repository:team/app:pull,push", "repository:secret:pull"];
    let scope = format!("{}/repositories/secret", house.resource);
    let role = RoleAssignment::new(Uuid::from_u128(77), Uuid::from_u128(12), roles::ACR_PULL, scope);
    assert!(matches!(house.metastore.assign_role(role.clone(), 1).await.unwrap(), AssignRole::Assigned(_)));
    let bearer = format!("Bearer {}", house.token("pusher", &scopes).await);
    let with = [("authorization", bearer.as_str()), ("content-length", "0")];
    let mount = format!("/v2/team/app/blobs/uploads/?mount={blob}&from=secret");
    house.send("POST", &mount, &with, "").await.is(201);
    house.ask("DELETE", &format!("/v2/team/app/blobs/{blob}"), &[], b"").await.is(202);
    assert!(house.metastore.remove_role(role.id, roles::OWNER).await.unwrap().is_some());
    // Rights are read again within a second; another process on the same data has read none yet.
    let house = house.again().await;
    house.send("POST", &mount, &with, "").await.is(202);
    house.send("HEAD", &format!("/v2/team/app/blobs/{blob}"), &with[..1], "").await.is(404);
}

#[tokio::test]
async fn a_session_is_its_owners_and_its_repositorys() {
    let house = house().await;
    let location = house.open("team/app").await;
    let pusher = basic("pusher", "secret");
    let with = [("authorization", pusher.as_str()), ("content-length", "1")];
    for (method, path) in [
        ("GET", location.clone()),
        ("PATCH", location.clone()),
        ("PUT", format!("{location}?digest={UNKNOWN}")),
        ("DELETE", location.clone()),
    ] {
        let refused = house.send(method, &path, &with, "x").await.is(404);
        assert_eq!(refused.code(), "BLOB_UPLOAD_UNKNOWN");
    }
    let elsewhere = location.replace("team/app", "team/other");
    house.get(&elsewhere).await.is(404);
    house.get(&location).await.is(204);
    house.get("/v2/team/app/blobs/uploads/not-a-uuid").await.is(404);
}

#[tokio::test]
async fn the_catalogue_lists_what_the_caller_may_pull() {
    let house = house().await;
    for repository in ["other", "team/app", "team/web", "zebra"] {
        house.push_blob(repository, b"x").await;
    }
    let list = |name: &'static str, query: &'static str| {
        let house = &house;
        async move {
            let path = format!("/v2/_catalog{query}");
            house.send("GET", &path, &[("authorization", &basic(name, "secret"))], "").await
        }
    };
    let names = |answer: &house::Answer| answer.json()["repositories"].to_string();
    assert_eq!(names(&list("admin", "").await.is(200)), r#"["other","team/app","team/web","zebra"]"#);
    assert_eq!(names(&list("pusher", "").await.is(200)), r#"["team/app","team/web"]"#);
    let page = list("pusher", "?n=1").await.is(200);
    assert_eq!(
        (names(&page).as_str(), page.header("link")),
        (r#"["team/app"]"#, "</v2/_catalog?n=1&last=team%2Fapp>; rel=\"next\"")
    );
    assert_eq!(names(&list("pusher", "?n=1&last=team%2Fapp").await.is(200)), r#"["team/web"]"#);
    assert_eq!(list("stranger", "").await.is(403).code(), "DENIED");
}

#[tokio::test]
async fn hostile_requests_get_one_clear_error() {
    let house = house().await;
    for (method, path, headers, status) in [
        ("TRACE", "/v2/", vec![], 405),
        ("POST", "/v2/a/tags/list", vec![], 405),
        ("PUT", "/v2/a/blobs/uploads/", vec![], 405),
        ("GET", "/v2/A/tags/list", vec![], 400),
        ("GET", "/v2/a/../b/tags/list", vec![], 400),
        ("GET", "/v2/a%2F..%2Fb/tags/list", vec![], 400),
        ("GET", "/v2/a//tags/list", vec![], 400),
        ("GET", "/v2/%00/tags/list", vec![], 404),
        ("GET", "/v2/a/blobs/sha256:short", vec![], 400),
        ("GET", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", vec![], 400),
        ("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", vec![], 400),
        ("POST", "/v2/a/blobs/uploads/?digest=x", vec![], 400),
        ("GET", "/v2/", vec![("host", "a\"b")], 400),
    ] {
        let answer = house.ask(method, path, &headers, b"").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        assert!(!answer.code().is_empty());
    }
    let long = "a/".repeat(200) + "b";
    house.get(&format!("/v2/{long}/tags/list")).await.is(400);
    let location = house.open("a").await;
    for (range, status) in
        [("x", 400), ("5-1", 400), ("0-9", 400), ("18446744073709551615-18446744073709551615", 416)]
    {
        let answer = house.chunk(&location, range, b"x").await;
        assert_eq!(answer.status, status, "{range}: {}", String::from_utf8_lossy(&answer.body));
    }
    house.ask("PUT", &location, &[], b"").await.is(400);
    house.ask("PATCH", &location, &[("content-length", "5")], b"x").await.is(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_on_one_session_and_one_tag() {
    let house = std::sync::Arc::new(house().await);
    let location = house.open("a").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (house, location) = (house.clone(), location.clone());
        tasks.spawn(async move { house.chunk(&location, "0-3", b"once").await.status });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [202, 409, 416].contains(status)), "{statuses:?}");
    let digest = Digest::sha256(b"once");
    house.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").await.is(201);

    house.push_blob("a", b"config").await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let house = house.clone();
        tasks.spawn(async move {
            let mut manifest = image(b"config", &[]);
            manifest["annotations"] = json!({ "number": number.to_string() });
            house.push_manifest("a", "tag", &manifest).await.is(201);
            digest_of(&manifest)
        });
    }
    let digests = tasks.join_all().await;
    let winner = house.get("/v2/a/manifests/tag").await.is(200);
    assert!(digests.iter().any(|digest| winner.header("docker-content-digest") == digest.to_string()));
    for digest in digests {
        house.get(&format!("/v2/a/manifests/{digest}")).await.is(200);
    }
}
