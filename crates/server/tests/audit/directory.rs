//! What is changed through the directory (Microsoft Graph).

use serde_json::{Value, json};

use crate::house::House;

/// Makes each change that there is, in both faces of a program, and looks for it in the log. Returns the routes.
pub(crate) async fn changes(house: &mut House) -> Vec<String> {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let made = rcgen::CertificateParams::new(Vec::new()).expect("parameters").self_signed(&pair);
    let pem = made.expect("a certificate").pem();
    let key: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let mut told = vec!["POST /v1.0/applications".to_owned()];
    for (face, parameter) in [("applications", "applicationId"), ("servicePrincipals", "servicePrincipalId")]
    {
        let name = format!("made-of-{face}");
        let body = json!({ "displayName": name });
        let wanted = format!("made principal {name} (");
        let made = house
            .asks("POST", "/v1.0/applications", "", body, &[&wanted, "kind: nothing -> program", "-> admin"])
            .await;
        let id = made["id"].as_str().expect("an id").to_owned();
        let at = |verb: &str| format!("/v1.0/{face}/{{{parameter}}}{verb}");
        let body = json!({ "passwordCredential": { "displayName": "spare" } });
        let wanted = ["made secret of a principal spare (", "secret: nothing -> (hidden)"];
        let added = house.asks("POST", &at("/addPassword"), &id, body, &wanted).await;
        let body = json!({ "keyId": added["keyId"] });
        let wanted = ["removed secret of a principal spare (", "secret: (hidden) -> nothing"];
        house.asks("POST", &at("/removePassword"), &id, body, &wanted).await;
        let body = json!({ "keyCredentials": [{ "key": key, "displayName": "signed" }] });
        house.asks("PATCH", &at(""), &id, body, &["made secret of a principal signed ("]).await;
        let wanted = format!("removed principal {name} (");
        house.asks("DELETE", &at(""), &id, Value::Null, &[&wanted]).await;
        let verbs = ["POST /addPassword", "POST /removePassword", "PATCH ", "DELETE "];
        told.extend(verbs.map(|verb| {
            let (method, verb) = verb.split_once(' ').expect("two");
            format!("{method} {}", at(verb))
        }));
    }
    told
}
