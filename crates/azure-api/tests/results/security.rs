//! Rules, plans by version, assessments of images and packages, and what is said of assessments.

use std::collections::BTreeSet;

use advisory::Severity;
use assessment::ImageState;
use serde_json::{Value, json};

use crate::house::*;

const KEY_2024: &str = "33422d8f-ab1e-42be-bc9a-38685bb567b9";

impl House {
    async fn ask(&self, name: &str, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.token(name).await);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("{path}?api-version=2025-05-04");
        self.send(method, &path, &[("authorization", &bearer)], &body).await
    }

    fn root(&self) -> String {
        format!("/providers/Microsoft.Management/managementGroups/{TENANT}")
    }
}

fn rule(criteria: Value) -> Value {
    json!({ "properties": { "criteria": criteria, "reason": "because" } })
}

#[tokio::test]
async fn a_rule_is_made_shown_and_taken_away_by_those_who_may() {
    let house = house().await;
    let image = house.push("app", "bad").await;
    let found = vec![finding("CVE-1", Severity::High), finding("CVE-2", Severity::Low)];
    house.judge(&image, ImageState::Unhealthy, &[], found).await;
    let subscription = format!("/subscriptions/{SUB}");
    let group = format!("{subscription}/resourceGroups/DEFAULT");
    let scopes = [house.root(), subscription, group, house.resource.clone()];
    for scope in &scopes {
        let path = format!("{scope}/providers/Microsoft.Security/findingRules/Accepted");
        let body = rule(json!({ "advisories": ["cve-1"] }));
        let made = house.ask("admin", "PUT", &path, body.clone()).await.is(201).body;
        assert_eq!(
            made["properties"]["disabledFindings"],
            if *scope == scopes[0] { 1 } else { 0 },
            "the oldest holds"
        );
        assert_eq!(made["systemData"]["createdBy"], "admin");
        house.ask("admin", "PUT", &path, made.clone()).await.is(200);
        assert_eq!(
            house.ask("security", "GET", &path, Value::Null).await.status,
            if *scope == scopes[0] { 403 } else { 200 }
        );
        house.ask("security", "PUT", &path, body.clone()).await.is(403);
        house.ask("security", "DELETE", &path, Value::Null).await.is(403);
        for method in ["GET", "PUT", "DELETE"] {
            house.ask("elsewhere", method, &path, body.clone()).await.is(404);
        }
        house.ask("admin", "GET", &path.replace("Accepted", "absent"), Value::Null).await.is(404);
    }
    let listed = format!("{}/providers/Microsoft.Security/findingRules", scopes[1]);
    let listed = house.ask("admin", "GET", &listed, Value::Null).await.is(200).body;
    assert_eq!(listed["value"].as_array().unwrap().len(), 4, "above, there and beneath");
    let status = || async {
        let rows = house.get("admin", &house.subs()).await.is(200).body;
        let of = |row: &Value| row["properties"]["status"]["code"].as_str().unwrap().to_owned();
        rows["value"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(status().await, ["NotApplicable", "Unhealthy"]);
    for scope in &scopes {
        let path = format!("{scope}/providers/Microsoft.Security/findingRules/accepted");
        house.ask("admin", "DELETE", &path, Value::Null).await.is(200);
        house.ask("admin", "DELETE", &path, Value::Null).await.is(204);
    }
    assert_eq!(status().await, ["Unhealthy", "Unhealthy"]);
}

#[tokio::test]
async fn a_rule_that_cannot_be_is_refused_with_its_reason() {
    let house = house().await;
    let path = format!("{}/providers/Microsoft.Security/findingRules/x", house.resource);
    let good = rule(json!({ "notPatchable": true }));
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body["properties"][name] = value;
        body
    };
    for (body, code) in [
        (rule(json!({})), "InvalidFindingRule"),
        (rule(json!({ "cvssBelow": 7 })), "InvalidRequestContent"),
        (rule(json!({ "severityBelow": "Terrible" })), "InvalidRequestContent"),
        (rule(json!({ "images": ["sha256:short"] })), "InvalidRequestContent"),
        (with("reason", json!(" ")), "InvalidFindingRule"),
        (with("expiresOn", json!("2020-01-01T00:00:00Z")), "InvalidFindingRule"),
        (with("expiresOn", json!("soon")), "InvalidRequestContent"),
        (with("expires", json!("2099-01-01T00:00:00Z")), "UnsupportedProperty"),
        (json!([]), "InvalidRequestContent"),
    ] {
        assert_eq!(house.ask("admin", "PUT", &path, body.clone()).await.is(400).code(), code, "{body}");
    }
    let odd = path.replace("findingRules/x", "findingRules/a%20b");
    assert_eq!(house.ask("admin", "PUT", &odd, good.clone()).await.is(400).code(), "InvalidFindingRule");
    let absent = path.replace("lazaret", "other");
    house.ask("admin", "PUT", &absent, good.clone()).await.is(404);
    let group =
        "/providers/Microsoft.Management/managementGroups/other/providers/Microsoft.Security/findingRules/x";
    assert_eq!(house.ask("admin", "PUT", group, good).await.is(404).code(), "ManagementGroupNotFound");
}

#[tokio::test]
async fn an_image_has_assessments_of_its_own_and_of_its_packages() {
    let house = house().await;
    let image = house.push("team/app", "bad").await;
    house.judge(&image, ImageState::Unhealthy, &[], vec![finding("CVE-1", Severity::Critical)]).await;
    let id = format!("{}/repositories-team-app-images-{image}", house.resource);
    let of_image = format!("{id}/providers/Microsoft.Security");
    let listed =
        house.ask("admin", "GET", &format!("{of_image}/assessments"), Value::Null).await.is(200).body;
    let rows = listed["value"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["name"], &rows[0]["properties"]["resourceDetails"]["id"]),
        (&json!(KEY_2024), &json!(id))
    );
    assert_eq!(rows[0]["properties"]["risk"]["level"], "Critical");
    assert_eq!(rows[1]["properties"]["displayName"], "Update openssl");
    for row in rows {
        let path = row["id"].as_str().unwrap();
        assert_eq!(&house.ask("admin", "GET", path, Value::Null).await.is(200).body, row);
    }
    let path =
        format!("{}?api-version=2021-06-01&%24expand=metadata%2Clinks", rows[1]["id"].as_str().unwrap());
    let expanded = house.get("admin", &path).await.is(200).body;
    assert_eq!(expanded["properties"]["metadata"]["recommendationCategory"], "SoftwareUpdate");
    assert!(expanded["properties"]["links"]["azurePortalUri"].is_string());
    assert!(expanded["properties"]["risk"].is_null(), "a client of 2021 knows none");

    let subs =
        house.ask("admin", "GET", &format!("{of_image}/subAssessments"), Value::Null).await.is(200).body;
    assert_eq!(subs["value"].as_array().unwrap().len(), 1);
    let row = &subs["value"][0];
    assert_eq!(&house.ask("admin", "GET", row["id"].as_str().unwrap(), Value::Null).await.is(200).body, row);
    let everywhere =
        format!("{}/providers/Microsoft.Security/assessments/{KEY_2024}/subAssessments", house.root());
    assert_eq!(
        house.ask("admin", "GET", &everywhere, Value::Null).await.is(200).body["value"],
        subs["value"]
    );
    for absent in [
        format!("{of_image}/assessments/{KEY}"),
        format!("{of_image}/assessments/{KEY}/subAssessments"),
        format!("{of_image}x/assessments"),
        format!("{}/providers/Microsoft.Security/assessments/{KEY_2024}", house.resource),
        format!("{}/repositories-é/providers/Microsoft.Security/assessments", house.resource)
            .replace('é', "%C3%A9"),
        format!("{of_image}/findingRules"),
    ] {
        house.ask("admin", "GET", &absent, Value::Null).await.is(404);
    }
    // Rules show in every one of them.
    let path = format!("{}/providers/Microsoft.Security/findingRules/x", house.resource);
    house.ask("admin", "PUT", &path, rule(json!({ "packages": ["openssl"] }))).await.is(201);
    let listed =
        house.ask("admin", "GET", &format!("{of_image}/assessments"), Value::Null).await.is(200).body;
    let status = |at: usize| listed["value"][at]["properties"]["status"].clone();
    assert_eq!((&status(0)["code"], &status(1)["code"]), (&json!("Healthy"), &json!("NotApplicable")));
    assert_eq!(status(1)["cause"], "Exempt");
    assert_eq!(listed["value"][0]["properties"]["risk"]["level"], "None");
    let put =
        house.ask("admin", "PUT", &format!("{of_image}/assessments/{KEY_2024}"), json!({})).await.is(405);
    assert!(put.body["error"]["message"].as_str().unwrap().contains("custom ones are not kept"));
}

#[tokio::test]
async fn assessments_come_in_pages_without_gaps() {
    let house = house().await;
    for number in 0..300 {
        let image = house.push(&format!("app{}", number % 3), &number.to_string()).await;
        let mut found = Vec::new();
        for source in 0..number % 4 {
            let mut one = finding("CVE-1", Severity::Low);
            one.source = format!("source{source}");
            one.package.name = format!("package{source}");
            found.push(one);
        }
        let state = if found.is_empty() { ImageState::Healthy } else { ImageState::Unhealthy };
        house.judge(&image, state, &[], found).await;
    }
    let path = format!("{}/providers/Microsoft.Security/assessments{VERSION}", house.root());
    let rows = house.all_rows(&path).await;
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!((rows.len(), ids.len()), (2 + 300 + 450, 2 + 300 + 450));
}

#[tokio::test]
async fn what_is_said_of_assessments_is_listed_at_the_tenant_and_the_subscription() {
    let house = house().await;
    for at in [String::new(), format!("/subscriptions/{SUB}")] {
        let list = format!("{at}/providers/Microsoft.Security/assessmentMetadata");
        let listed = house.ask("security", "GET", &list, Value::Null).await.is(200).body;
        let rows = listed["value"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        for row in rows {
            let id = row["id"].as_str().unwrap();
            assert!(id.starts_with(&list), "{id}");
            assert_eq!(&house.ask("security", "GET", id, Value::Null).await.is(200).body, row);
        }
        house.ask("security", "GET", &format!("{list}/unknown"), Value::Null).await.is(404);
        house.ask("admin", "PUT", &format!("{list}/{KEY}"), json!({})).await.is(405);
    }
    let list = format!("/subscriptions/{SUB}/providers/Microsoft.Security/assessmentMetadata");
    house.ask("puller", "GET", &list, Value::Null).await.is(403);
    house.ask("elsewhere", "GET", &list, Value::Null).await.is(404);
}

#[tokio::test]
async fn a_plan_is_shown_as_the_clients_version_has_it() {
    let house = house().await;
    let list = format!("/subscriptions/{SUB}/providers/Microsoft.Security/pricings");
    let names = |answer: &Value| -> Vec<String> {
        answer["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for (version, wanted) in [
        ("2018-06-01", &["pricingTier", "freeTrialRemainingTime"][..]),
        ("2022-03-01", &["pricingTier", "freeTrialRemainingTime", "deprecated", "replacedBy"]),
        (
            "2023-01-01",
            &["pricingTier", "freeTrialRemainingTime", "deprecated", "replacedBy", "enablementTime"],
        ),
        (
            "2024-01-01",
            &[
                "pricingTier",
                "freeTrialRemainingTime",
                "enforce",
                "inherited",
                "resourcesCoverageStatus",
                "deprecated",
                "replacedBy",
                "enablementTime",
            ],
        ),
    ] {
        let answer = house.get("admin", &format!("{list}?api-version={version}")).await.is(200).body;
        assert_eq!(names(&answer), ["ContainerRegistry", "Containers"]);
        let properties = answer["value"][0]["properties"].as_object().unwrap();
        let found: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(found, wanted.iter().copied().collect(), "{version}");
    }
    let filtered = format!("{list}?api-version=2024-01-01&%24filter=name%20in%20(containers)");
    assert_eq!(names(&house.get("admin", &filtered).await.is(200).body), ["Containers"]);
    let odd = format!("{list}?api-version=2024-01-01&%24filter=tier");
    assert_eq!(house.get("admin", &odd).await.is(400).code(), "InvalidFilter");

    let own = format!("{list}/ContainerRegistry");
    house.ask("admin", "DELETE", &own, Value::Null).await.is(400);
    house.ask("admin", "DELETE", &format!("{list}/Nonsense"), Value::Null).await.is(404);
    let of_registry = format!("{}/providers/Microsoft.Security/pricings", house.resource);
    let inherited = house.ask("admin", "GET", &of_registry, Value::Null).await.is(200).body;
    let first = &inherited["value"][0]["properties"];
    assert_eq!(
        (&first["inherited"], &first["inheritedFrom"]),
        (&json!("True"), &json!(format!("/subscriptions/{SUB}")))
    );
    let of_registry = format!("{of_registry}/containerregistry");
    let body = json!({ "properties": { "pricingTier": "Free" } });
    assert_eq!(
        house.ask("admin", "PUT", &of_registry, body).await.is(400).code(),
        "ResourceLevelPricingNotSupported"
    );
    house.ask("admin", "DELETE", &of_registry, Value::Null).await.is(204);
    house.ask("reader", "DELETE", &of_registry, Value::Null).await.is(403);
    house.ask("elsewhere", "GET", &of_registry, Value::Null).await.is(404);
    house.ask("admin", "GET", &of_registry.replace("lazaret", "other"), Value::Null).await.is(404);
}
