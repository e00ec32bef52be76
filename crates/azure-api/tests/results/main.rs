//! Azure's door over a real metastore: rows, pages, errors, and who may read what.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod directory;
mod house;
mod security;

use std::collections::BTreeSet;

use advisory::Severity;
use assessment::ImageState;
use auth::roles;
use oci::Digest;
use serde_json::{Value, json};
use uuid::Uuid;

use house::*;

#[tokio::test]
async fn each_state_has_its_rows() {
    let house = house().await;
    let unhealthy = house.push("app/bad", "bad").await;
    let findings = vec![finding("CVE-2024-1", Severity::Critical), finding("CVE-2024-2", Severity::Unknown)];
    house.judge(&unhealthy, ImageState::Unhealthy, &[], findings).await;
    let healthy = house.push("app/good", "good").await;
    house.judge(&healthy, ImageState::Healthy, &[], vec![]).await;
    let unverified = house.push("app/odd", "odd").await;
    let causes = [("NoAdvisoryData", "no data"), ("UnjudgedSoftware", "a jar")];
    house.judge(&unverified, ImageState::Unverified, &causes, vec![]).await;
    house.push("app/new", "pending").await;

    let answer = house.get("admin", &house.subs()).await.is(200);
    let rows = answer.body["value"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "{rows:#?}");
    let of = |digest: &Digest| -> Vec<&Value> {
        let wanted = digest.to_string();
        rows.iter()
            .filter(|row| row["properties"]["additionalData"]["imageDigest"] == wanted.as_str())
            .collect()
    };
    let bad = &of(&unhealthy)[0]["properties"];
    assert_eq!(
        bad["status"],
        json!({ "code": "Unhealthy", "severity": "High", "description": "The resource is unhealthy" })
    );
    assert_eq!(
        (&bad["id"], &bad["impact"], &bad["remediation"]),
        (&json!("CVE-2024-1"), &json!("3"), &json!("upgrade"))
    );
    assert_eq!(bad["timeGenerated"], "2027-01-15T08:00:00.1230000Z");
    let id = format!("{}/repository/app/bad/imageDigest/{unhealthy}", house.resource);
    assert_eq!(bad["resourceDetails"], json!({ "source": "Azure", "id": id }));
    let data = &bad["additionalData"];
    assert_eq!(data["assessedResourceType"], "ContainerRegistryVulnerability");
    assert_eq!(data["cve"], json!([{ "title": "CVE-2024-1", "link": "https://d.example/1" }]));
    assert_eq!(data["vendorReferences"], json!([{ "title": "DSA-1", "link": "https://d.example/1" }]));
    assert_eq!((&data["patchable"], &data["severity"]), (&json!(true), &json!("Critical")));
    assert_eq!(
        (&data["registryHost"], &data["repositoryName"]),
        (&json!("registry.example:5443"), &json!("app/bad"))
    );
    assert_eq!(of(&unhealthy)[1]["properties"]["status"]["severity"], "Unknown");

    let good = &of(&healthy)[0]["properties"];
    assert_eq!(good["status"], json!({ "code": "Healthy", "description": "The resource is healthy" }));
    let odd = &of(&unverified)[0]["properties"];
    let status =
        json!({ "code": "NotApplicable", "cause": "NoAdvisoryData", "description": "no data; a jar" });
    assert_eq!(odd["status"], status);
    assert_eq!(odd["additionalData"]["state"], "Unverified");

    for row in rows {
        let path = format!("{}{VERSION}", row["id"].as_str().unwrap());
        assert_eq!(&house.get("admin", &path).await.is(200).body, row, "get one is what the list shows");
    }
    let absent = house.subs().replace("subAssessments?", &format!("subAssessments/{}?", Uuid::nil()));
    assert_eq!(house.get("admin", &absent).await.is(404).code(), "ResourceNotFound");
    assert_eq!(
        house.get("admin", &absent.replace(&Uuid::nil().to_string(), "nonsense")).await.is(404).code(),
        "ResourceNotFound"
    );
}

#[tokio::test]
async fn the_registrys_assessment_follows_its_images() {
    let house = house().await;
    let list = format!("{}/providers/Microsoft.Security/assessments{VERSION}", house.resource);
    let one = format!("{}/providers/Microsoft.Security/assessments/{KEY}{VERSION}", house.resource);
    let status = || async { house.get("admin", &one).await.is(200).body["properties"]["status"].clone() };
    assert_eq!(status().await["cause"], "NothingJudged");
    let odd = house.push("a", "odd").await;
    house.judge(&odd, ImageState::Unverified, &[("X", "x")], vec![]).await;
    assert_eq!(
        (status().await["code"].clone(), status().await["cause"].clone()),
        (json!("NotApplicable"), json!("Unverified"))
    );
    let good = house.push("a", "good").await;
    house.judge(&good, ImageState::Healthy, &[], vec![]).await;
    assert_eq!(status().await["code"], "Healthy");
    let bad = house.push("a", "bad").await;
    house.judge(&bad, ImageState::Unhealthy, &[], vec![finding("CVE-1", Severity::Low)]).await;
    assert_eq!(status().await["code"], "Unhealthy");
    assert_eq!(status().await["firstEvaluationDate"], "2027-01-15T08:00:00.1230000Z");
    let listed = house.get("admin", &list).await.is(200).body;
    let names: Vec<&str> =
        listed["value"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.iter().filter(|name| [KEY, KEY_2023].contains(name)).count(), 2, "one a form");
    assert_eq!(names.len(), 2 + 3 + 1, "and one an image, and one a package to be fixed");
    assert_eq!(listed["value"][1]["name"], KEY_2023);
    assert_eq!(listed["value"][1]["properties"]["status"], listed["value"][0]["properties"]["status"]);
    assert_eq!(listed["value"][0], house.get("admin", &one).await.body);
    assert_eq!(listed["value"][0]["properties"]["additionalData"]["imagesUnhealthy"], "1");
    assert!(listed["value"][0]["properties"]["metadata"].is_null());
    let expanded = house.get("admin", &format!("{one}&%24expand=metadata")).await.is(200).body;
    assert_eq!(expanded["properties"]["metadata"]["severity"], "High");
    house.metastore.delete_manifest(house.registry, &"a".parse().unwrap(), &bad, 1).await.unwrap();
    assert_eq!(status().await["code"], "Healthy", "nothing to fix is left");
}

/// One image in twelve repositories, and pages that end within it: the cursor must know the repository.
#[tokio::test]
async fn an_image_in_many_repositories_is_listed_in_each() {
    let house = house().await;
    for number in 0..12 {
        house.push(&format!("app/{number}"), "shared").await;
    }
    let findings = (0..117).map(|id| finding(&format!("CVE-{id}"), Severity::Low)).collect();
    house.judge(&Digest::sha256(b"shared"), ImageState::Unhealthy, &[], findings).await;
    let subscription = format!("/subscriptions/{SUB}/providers/Microsoft.Security/subAssessments{VERSION}");
    for (path, forms) in [(house.subs(), 1), (subscription, 3)] {
        let rows = house.all_rows(&path).await;
        let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!((rows.len(), ids.len()), (forms * 12 * 117, forms * 12 * 117), "{path}");
    }
}

/// Between two pages images are pushed, judged again and deleted. What is there throughout is listed once, and
/// nothing is listed twice.
#[tokio::test]
async fn what_is_there_throughout_is_listed_once_while_rows_come_and_go() {
    for seed in 0..2_u64 {
        let mut chance = seed;
        let mut below = |limit: u64| {
            // Knuth's constants of MMIX: random enough, and the same each time.
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) % limit
        };
        let house = house().await;
        let image = |number: u64| format!("image {number}");
        let digest = |number: u64| Digest::sha256(image(number).as_bytes());
        // Image 0 has more findings than a page holds; images 0 to 3 stay, with their first 60 findings at least.
        let findings = |number: u64, more: u64| {
            let count = if number == 0 { 600 } else { 60 } + more;
            let severity =
                |id: u64| if (id + more).is_multiple_of(3) { Severity::High } else { Severity::Low };
            (0..count).map(|id| finding(&format!("CVE-{id}"), severity(id))).collect::<Vec<_>>()
        };
        for number in 0..8 {
            for repository in 0..3 {
                house.push(&format!("app/{repository}"), &image(number)).await;
            }
            house.judge(&digest(number), ImageState::Unhealthy, &[], findings(number, 0)).await;
        }
        let (mut listed, mut next, mut pages) = (Vec::new(), Some(house.subs()), 0);
        while let Some(path) = next {
            let answer = house.get("admin", &path).await.is(200).body;
            listed.extend(
                answer["value"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row["name"].as_str().unwrap().to_owned()),
            );
            let link = answer["nextLink"].as_str();
            next = link.map(|link| link.strip_prefix("http://registry.example:5443").unwrap().to_owned());
            pages += 1;
            let number = below(8);
            house.judge(&digest(number), ImageState::Unhealthy, &[], findings(number, below(50))).await;
            let repository = format!("app/{}", below(3));
            let (gone, new) = (4 + below(4), 100 + below(1000));
            house
                .metastore
                .delete_manifest(house.registry, &repository.parse().unwrap(), &digest(gone), 1)
                .await
                .unwrap();
            house.push(&repository, &image(new)).await;
            house.judge(&digest(new), ImageState::Unhealthy, &[], findings(new, 0)).await;
        }
        assert!(pages > 4, "{pages}");
        let names: BTreeSet<_> = listed.iter().cloned().collect();
        assert_eq!(names.len(), listed.len(), "nothing is listed twice (seed {seed})");
        for number in 0..4 {
            for repository in 0..3 {
                for found in findings(number, 0) {
                    let name =
                        found.sub_assessment_id(&format!("app/{repository}"), &digest(number)).to_string();
                    let (id, missing) = (&found.id, !names.contains(&name));
                    assert!(!missing, "{id} of image {number} in app/{repository} is missing (seed {seed})");
                }
            }
        }
    }
}

#[tokio::test]
async fn pages_have_no_gaps_and_no_duplicates() {
    let house = house().await;
    let mut wanted = BTreeSet::new();
    for number in 0..60 {
        let image = house.push(&format!("app/{}", number % 7), &number.to_string()).await;
        let count = [0, 1, 7, 250, 10][number % 5];
        let findings: Vec<_> = (0..count).map(|id| finding(&format!("CVE-{id}"), Severity::Low)).collect();
        let state = if count == 0 { ImageState::Healthy } else { ImageState::Unhealthy };
        for finding in &findings {
            wanted.insert((image.to_string(), finding.id.clone()));
        }
        if count == 0 {
            wanted.insert((image.to_string(), "healthy".to_owned()));
        }
        house.judge(&image, state, &[], findings).await;
    }
    assert_eq!(wanted.len(), 12 * (1 + 1 + 7 + 250 + 10));
    let subscription = format!("/subscriptions/{SUB}/providers/Microsoft.Security/subAssessments{VERSION}");
    let all = house.all_rows(&subscription).await;
    assert_eq!(all.len(), 3 * wanted.len(), "each in every form");
    let group = format!(
        "/subscriptions/{SUB}/resourceGroups/DEFAULT/providers/Microsoft.Security/assessments/{KEY}/subAssessments{VERSION}"
    );
    for path in [house.subs(), group] {
        let rows = house.all_rows(&path).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (text(&row["properties"]["additionalData"]["imageDigest"]), text(&row["properties"]["id"]))
            })
            .collect();
        assert_eq!(seen.len(), wanted.len(), "{path}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), wanted, "{path}");
        let names: BTreeSet<_> = rows.iter().map(|row| text(&row["name"])).collect();
        assert_eq!(names.len(), wanted.len());
    }
    let bad = format!("{}&$skipToken=bm9uc2Vuc2U", house.subs());
    assert_eq!(house.get("admin", &bad).await.is(400).code(), "InvalidSkipToken");
}

/// Every route by every caller: 200, 403 for what they may know of, 404 for what they may not.
#[tokio::test]
async fn roles_decide_on_every_route() {
    let house = house().await;
    let image = house.push("app", "x").await;
    house.judge(&image, ImageState::Healthy, &[], vec![]).await;
    let row =
        house.get("admin", &house.subs()).await.is(200).body["value"][0]["id"].as_str().unwrap().to_owned();
    let sub = format!("/subscriptions/{SUB}");
    let security = |scope: &str, rest: &str| format!("{scope}/providers/Microsoft.Security/{rest}{VERSION}");
    let group = format!("{sub}/resourceGroups/default");
    let other = house.resource.replace("lazaret", "other");
    let routes = [
        (security(&house.resource, "assessments"), "resource"),
        (security(&house.resource, &format!("assessments/{KEY}")), "resource"),
        (security(&house.resource, &format!("assessments/{KEY}/subAssessments")), "resource"),
        (format!("{row}{VERSION}"), "resource"),
        (security(&group, "assessments"), "resource"),
        (security(&group, "subAssessments"), "resource"),
        (security(&sub, "assessments"), "resource"),
        (security(&sub, "subAssessments"), "resource"),
        (security(&other, "subAssessments"), "absent"),
        (security("/subscriptions/00000000-0000-0000-0000-0000000000aa", "subAssessments"), "absent"),
        (format!("{sub}{VERSION}"), "subscription"),
        (format!("{}{VERSION}", house.resource), "registry"),
        (format!("{group}{VERSION}"), "group"),
        (format!("{sub}/resourceGroups{VERSION}"), "subscription"),
        (format!("{sub}/resources{VERSION}"), "subscription"),
        (format!("{sub}/providers/Microsoft.ContainerRegistry{VERSION}"), "subscription"),
        (format!("{sub}/providers/Microsoft.ContainerRegistry/registries{VERSION}"), "subscription"),
        (security(&sub, "pricings"), "pricing"),
        (security(&sub, "pricings/containerregistry"), "pricing"),
        (format!("/subscriptions{VERSION}"), "list"),
        (format!("/tenants{VERSION}"), "list"),
    ];
    for (path, kind) in &routes {
        let anonymous = house.send("GET", path, &[], "").await.is(401);
        assert_eq!(anonymous.code(), "AuthenticationFailed");
        let challenge = anonymous.headers["www-authenticate"].to_str().unwrap().to_owned();
        assert!(
            challenge
                .starts_with(&format!("Bearer authorization_uri=\"http://registry.example:5443/{TENANT}\""))
        );
        for (name, resource, subscription) in [
            ("admin", 200, 200),
            ("reader", 200, 200),
            ("security", 403, 200),
            ("puller", 403, 200),
            ("elsewhere", 404, 404),
        ] {
            let wanted = match *kind {
                "resource" => resource,
                // Neither pulling nor security is reading the resource.
                "registry" if name == "admin" => 200,
                "registry" => 404,
                // Security readers read groups, by Azure's role.
                "group" if name == "puller" => 404,
                "group" => subscription,
                "pricing" if name == "security" => 200,
                "pricing" if name == "puller" => 403,
                "pricing" => subscription,
                "subscription" => subscription,
                "absent" => 404,
                _ => 200,
            };
            let answer = house.get(name, path).await;
            assert_eq!(answer.status, wanted, "{name} {path} {:#}", answer.body);
            if wanted == 403 {
                assert_eq!(answer.code(), "AuthorizationFailed");
            }
        }
    }
    let seen = house.get("elsewhere", &format!("/subscriptions{VERSION}")).await.is(200).body;
    assert_eq!(seen["value"], json!([]));
}

#[tokio::test]
async fn the_token_endpoint_speaks_oauth() {
    let house = house().await;
    let openid =
        house.send("GET", &format!("/{TENANT}/v2.0/.well-known/openid-configuration"), &[], "").await.is(200);
    let base = format!("http://registry.example:5443/{TENANT}");
    assert_eq!(openid.body["token_endpoint"], format!("{base}/oauth2/v2.0/token"));
    assert_eq!(openid.body["issuer"], format!("{base}/v2.0"));
    let v2 = format!("/{TENANT}/oauth2/v2.0/token");
    let v1 = format!("/{TENANT}/oauth2/token");
    let resource = "resource=https%3A%2F%2Fmanagement.core.windows.net%2F";
    let scope = "scope=openid%20https%3A%2F%2Fmanagement.azure.com%2F.default";
    for (path, form) in [
        (&v2, format!("grant_type=password&username=admin&password=secret&{scope}")),
        (
            &v2,
            format!(
                "grant_type=client_credentials&client_id={}&client_secret=secret&{scope}",
                Uuid::from_u128(10)
            ),
        ),
        (&v1, format!("grant_type=client_credentials&client_id=admin&client_secret=secret&{resource}")),
    ] {
        let granted = house.send("POST", path, &[FORM], &form).await.is(200);
        assert_eq!(granted.headers["cache-control"], "no-store");
        let bearer = format!("Bearer {}", granted.body["access_token"].as_str().unwrap());
        let path = format!("/subscriptions{VERSION}");
        house.send("GET", &path, &[("authorization", &bearer)], "").await.is(200);
    }
    let other = format!("/{}/oauth2/v2.0/token", Uuid::nil());
    for (path, form, status, error) in [
        (
            &v2,
            format!("grant_type=client_credentials&client_id=admin&client_secret=no&{scope}"),
            401,
            "invalid_client",
        ),
        (&v2, format!("grant_type=client_credentials&client_id=admin&{scope}"), 401, "invalid_client"),
        (&v2, "grant_type=implicit".to_owned(), 400, "unsupported_grant_type"),
        (&v2, "grant_type=device_code".to_owned(), 400, "invalid_request"),
        (&v2, format!("grant_type=device_code&client_id={}", Uuid::nil()), 400, "expired_token"),
        (&v2, format!("grant_type=password&username=admin&password=no&{scope}"), 400, "invalid_grant"),
        (
            &v2,
            "grant_type=client_credentials&client_id=admin&client_secret=secret&scope=x".to_owned(),
            400,
            "invalid_scope",
        ),
        (&other, "grant_type=client_credentials".to_owned(), 400, "invalid_request"),
    ] {
        let refused = house.send("POST", path, &[FORM], &form).await.is(status);
        assert_eq!(refused.body["error"], error);
        assert!(refused.body["error_description"].is_string());
    }
    let bearer = [("authorization", "Bearer x.y.z")];
    let refused = house.send("GET", &format!("/subscriptions{VERSION}"), &bearer, "").await.is(401);
    assert_eq!(refused.code(), "InvalidAuthenticationToken");
}

#[tokio::test]
async fn arms_conventions_are_kept() {
    let house = house().await;
    let metadata =
        house.send("GET", "//metadata/endpoints?api-version=2022-09-01", &[], "").await.is(200).body;
    assert_eq!(metadata["authentication"]["loginEndpoint"], "http://registry.example:5443/");
    assert!(metadata["suffixes"]["acrLoginServer"].is_string() && metadata["name"].is_string());
    let older = house.send("GET", "/metadata/endpoints?api-version=2019-05-01", &[], "").await.is(200).body;
    assert_eq!(older[0]["name"], metadata["name"]);
    let path = house.subs();
    let answer = house.get("admin", &path).await.is(200);
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.headers[name], value);
    }
    assert!(answer.headers.contains_key("x-ms-request-id"));
    let shouted = path.to_ascii_uppercase().replace("API-VERSION", "Api-Version").replace('/', "//");
    house.get("admin", &shouted).await.is(200);
    let bare = path.replace(VERSION, "");
    assert_eq!(house.get("admin", &bare).await.is(400).code(), "MissingApiVersionParameter");
    assert_eq!(
        house.get("admin", &format!("{bare}?api-version=1")).await.is(400).code(),
        "InvalidApiVersionParameter"
    );
    let unknown = path.replace(KEY, "c0b7cfc6-3172-465a-b378-53c7ff2cc0d6");
    assert_eq!(house.get("admin", &unknown).await.is(404).code(), "ResourceNotFound");
    assert_eq!(house.get("admin", "/nothing").await.is(404).code(), "InvalidResourceType");
    let bearer = format!("Bearer {}", house.token("admin").await);
    for method in ["PUT", "DELETE", "POST", "PATCH"] {
        house.send(method, &path, &[("authorization", &bearer)], "").await.is(405);
    }
}

#[tokio::test]
async fn a_plan_is_switched_by_those_who_may_and_the_stock_is_scanned() {
    let house = house().await;
    let path = |name: &str| {
        format!("/subscriptions/{SUB}/providers/Microsoft.Security/pricings/{name}?api-version=2023-01-01")
    };
    let put = |caller: &'static str, name: &'static str, body: &'static str| {
        let (house, path) = (&house, path(name));
        async move {
            let bearer = format!("Bearer {}", house.token(caller).await);
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            house.send("PUT", &path, &headers, body).await
        }
    };
    let (off, on) = (
        r#"{"properties":{"pricingTier":"free"}}"#,
        r#"{"properties":{"pricingTier":"standard","subPlan":null}}"#,
    );
    let first = house.get("admin", &path("ContainerRegistry")).await.is(200).body;
    assert_eq!(first["properties"]["pricingTier"], "Standard");
    let shown = put("admin", "containerREGISTRY", off).await.is(200).body;
    assert_eq!(
        (shown["name"].as_str(), shown["properties"]["pricingTier"].as_str()),
        (Some("ContainerRegistry"), Some("Free"))
    );
    for name in ["1", "2"] {
        house.push("app", name).await;
    }
    assert_eq!(house.metastore.jobs_open().await.unwrap().0, 0, "nothing is scanned while the plan is off");
    let rows = house.get("admin", &house.subs()).await.is(200).body;
    assert_eq!(rows["value"][0]["properties"]["status"]["cause"], "PlanOff");
    assert_eq!(put("security", "ContainerRegistry", on).await.is(403).code(), "AuthorizationFailed");
    let newer = put("admin", "Containers", on).await.is(200).body;
    assert_eq!(newer["properties"]["enablementTime"], "2027-01-15T08:00:00.1230000Z");
    assert_eq!(house.metastore.jobs_open().await.unwrap().0, 2, "the stock is scanned");
    put("admin", "ContainerRegistry", on).await.is(200);
    assert_eq!(house.metastore.jobs_open().await.unwrap().0, 2, "once");
    let listed = house.get("admin", &path("").replace("/?", "?")).await.is(200).body;
    let tiers: Vec<_> = listed["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["properties"]["pricingTier"].as_str().unwrap())
        .collect();
    assert_eq!(tiers, ["Standard", "Standard"]);
    assert_eq!(
        put("admin", "ContainerRegistry", r#"{"properties":{"pricingTier":"Gold"}}"#).await.is(400).code(),
        "InvalidPricingTier"
    );
    assert_eq!(put("admin", "ContainerRegistry", "{").await.is(400).code(), "InvalidRequestContent");
    assert_eq!(put("admin", "VirtualMachines", on).await.is(404).code(), "ResourceNotFound");
}

#[tokio::test]
async fn roles_are_given_listed_and_taken() {
    let house = house().await;
    let at = |scope: &str, rest: &str| {
        format!("{scope}/providers/Microsoft.Authorization/{rest}api-version=2022-04-01")
    };
    let definitions = at(&house.resource, "roleDefinitions?$filter=roleName%20eq%20'Security%20Reader'&");
    let found = house.get("admin", &definitions).await.is(200).body;
    let definition = found["value"][0]["id"].as_str().unwrap().to_owned();
    assert!(definition.ends_with(&roles::SECURITY_READER.to_string()));
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    assert_eq!(found["value"][0]["properties"]["roleName"], "Security Reader");

    // The puller becomes a reader of results.
    let (name, puller) = (Uuid::from_u128(77), Uuid::from_u128(13));
    let path = at(&house.resource, &format!("roleAssignments/{name}?"));
    let body = json!({ "properties": { "roleDefinitionId": definition, "principalId": puller, "principalType": "ServicePrincipal" } });
    let send = |caller: &'static str, method: &'static str, path: String, body: String| {
        let house = &house;
        async move {
            let bearer = format!("Bearer {}", house.token(caller).await);
            house.send(method, &path, &[("authorization", &bearer)], &body).await
        }
    };
    house.get("puller", &house.subs()).await.is(403);
    assert_eq!(
        send("security", "PUT", path.clone(), body.to_string()).await.is(403).code(),
        "AuthorizationFailed"
    );
    let given = send("admin", "PUT", path.clone(), body.to_string()).await.is(201).body;
    assert_eq!(given["properties"]["principalId"], puller.to_string());
    house.get("puller", &house.subs()).await.is(200);
    send("admin", "PUT", path.clone(), body.to_string()).await.is(201);
    let other = path.replace(&name.to_string(), &Uuid::from_u128(78).to_string());
    assert_eq!(
        send("admin", "PUT", other.clone(), body.to_string()).await.is(409).code(),
        "RoleAssignmentExists"
    );
    for (from, to, status, code) in [
        (puller.to_string(), Uuid::nil().to_string(), 400, "PrincipalNotFound"),
        (roles::SECURITY_READER.to_string(), Uuid::nil().to_string(), 400, "RoleDefinitionDoesNotExist"),
        ("\"properties\"".to_owned(), "\"x\"".to_owned(), 400, "UnsupportedProperty"),
    ] {
        let body = body.to_string().replace(&from, &to);
        assert_eq!(send("admin", "PUT", other.clone(), body).await.is(status).code(), code);
    }
    let absent = other.replace("registries/lazaret", "registries/absent");
    assert_eq!(send("admin", "PUT", absent, body.to_string()).await.is(404).code(), "ResourceNotFound");

    assert_eq!(house.get("admin", &path).await.is(200).body, given);
    let list = |filter: &str| at(&house.resource, &format!("roleAssignments?{filter}"));
    let count = |answer: Answer| answer.is(200).body["value"].as_array().unwrap().len();
    assert_eq!(count(house.get("admin", &list("")).await), 6, "at and above the registry, but not elsewhere");
    assert_eq!(count(house.get("admin", &list(&format!("$filter=principalId%20eq%20'{puller}'&"))).await), 2);
    assert_eq!(count(house.get("admin", &list(&format!("$filter=assignedTo('{puller}')&"))).await), 2);
    assert_eq!(count(house.get("admin", &at("", "roleAssignments?$filter=atScope()&")).await), 2);
    house.get("puller", &list("")).await.is(200);

    send("admin", "DELETE", path.clone(), String::new()).await.is(200);
    send("admin", "DELETE", path.clone(), String::new()).await.is(204);
    assert_eq!(house.get("admin", &path).await.is(404).code(), "RoleAssignmentNotFound");
    house.get("puller", &house.subs()).await.is(403);
    let root = at("", &format!("roleAssignments/{}?", Uuid::from_u128(100)));
    assert_eq!(send("admin", "DELETE", root, String::new()).await.is(409).code(), "LastOwner");
}

#[tokio::test]
async fn a_registry_is_found_by_those_who_may_read_it() {
    let house = house().await;
    let sub = format!("/subscriptions/{SUB}");
    let filter = "%24filter=resourceType%20eq%20'Microsoft.ContainerRegistry/registries'";
    let found =
        house.get("admin", &format!("{sub}/resources?{filter}&api-version=2024-11-01")).await.is(200).body;
    assert_eq!(found["value"][0]["id"], house.resource);
    let other = "%24filter=resourceType%20eq%20'Microsoft.Compute/disks'";
    let none =
        house.get("admin", &format!("{sub}/resources?{other}&api-version=2024-11-01")).await.is(200).body;
    assert_eq!(none["value"], json!([]));
    let registry =
        house.get("admin", &format!("{}?api-version=2025-11-01", house.resource)).await.is(200).body;
    assert_eq!(registry["properties"]["loginServer"], "registry.example:5443");
    assert_eq!(registry["properties"]["creationDate"], "1970-01-01T00:00:00.0000000Z");
    let list = format!("{sub}/providers/Microsoft.ContainerRegistry/registries?api-version=2025-11-01");
    assert_eq!(house.get("admin", &list).await.is(200).body["value"], json!([registry]));
    assert_eq!(house.get("security", &list).await.is(200).body["value"], json!([]));
    let groups =
        house.get("admin", &format!("{sub}/resourcegroups?api-version=2024-11-01")).await.is(200).body;
    assert_eq!(groups["value"][0]["name"], "default");
}
