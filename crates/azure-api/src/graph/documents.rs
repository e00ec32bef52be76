//! Principals, as Graph writes them.

use metastore::{Principal, PrincipalSecret};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A person.
pub(crate) fn user(one: &Principal) -> Value {
    json!({
        "id": one.id,
        "userPrincipalName": one.name,
        "displayName": one.name,
        "mail": one.name.contains('@').then_some(&one.name),
        "accountEnabled": true,
        "userType": "Member",
        "createdDateTime": time(one.created_ms),
        "businessPhones": [],
        "givenName": null,
        "surname": null,
        "jobTitle": null,
        "mobilePhone": null,
        "officeLocation": null,
        "preferredLanguage": null,
    })
}

/// A program as a service principal. Its name is one of those by which it is found, and the one that az shows.
pub(crate) fn service_principal(one: &Principal, tenant: Uuid) -> Value {
    json!({
        "id": one.id,
        "appId": one.id,
        "displayName": one.name,
        "appDisplayName": one.name,
        "servicePrincipalNames": [one.name, one.id],
        "servicePrincipalType": "Application",
        "accountEnabled": true,
        "appOwnerOrganizationId": tenant,
        "signInAudience": AUDIENCE,
        "createdDateTime": time(one.created_ms),
        "alternativeNames": [],
        "appRoles": [],
        "oauth2PermissionScopes": [],
        "replyUrls": [],
        "tags": [],
        "keyCredentials": [],
        "passwordCredentials": [],
    })
}

/// A program, as what was registered.
pub(crate) fn application(one: &Principal, domain: &str) -> Value {
    json!({
        "id": one.id,
        "appId": one.id,
        "displayName": one.name,
        "identifierUris": [],
        "publisherDomain": domain,
        "signInAudience": AUDIENCE,
        "createdDateTime": time(one.created_ms),
        "appRoles": [],
        "requiredResourceAccess": [],
        "tags": [],
        "keyCredentials": [],
        "passwordCredentials": [],
    })
}

/// Writes into a program's document by what it logs in: never the secrets, and never an issuer's keys.
pub(crate) fn add_credentials(document: &mut Map<String, Value>, secrets: &[PrincipalSecret]) {
    let lists = [("passwordCredentials", true), ("keyCredentials", false)];
    for (name, is_typed) in lists {
        if let Some(list) = document.get_mut(name) {
            let rows = secrets.iter().filter(|secret| match &secret.proof {
                metastore::Proof::Hash(_) => is_typed,
                metastore::Proof::Keys { issuer, .. } => !is_typed && issuer.is_none(),
            });
            *list = rows.map(|secret| credential(secret, is_typed)).collect();
        }
    }
}

fn credential(secret: &PrincipalSecret, is_typed: bool) -> Value {
    let mut document = json!({
        "keyId": secret.id,
        "displayName": Some(&secret.name).filter(|name| !name.is_empty()),
        "startDateTime": time(secret.created_ms),
        "endDateTime": secret.expires_ms.map_or_else(|| NEVER.to_owned(), time),
        "customKeyIdentifier": null,
    });
    if is_typed {
        document["hint"] = Value::Null;
        document["secretText"] = Value::Null;
    } else {
        document["type"] = "AsymmetricX509Cert".into();
        document["usage"] = "Verify".into();
        document["key"] = Value::Null;
    }
    document
}

/// A new secret, which is shown this once.
pub(crate) fn shown_secret(secret: &PrincipalSecret, text: &str) -> Value {
    let mut document = credential(secret, true);
    document["secretText"] = text.into();
    document
}

/// As Graph writes times: to the second.
fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Programs of one's own tenant: there is no other.
pub(crate) const AUDIENCE: &str = "AzureADMyOrg";
/// What clients read as no end: they want a time.
const NEVER: &str = "9999-12-31T23:59:59Z";
