//! `keyCredentials`: the certificates by whose keys a program logs in.

use auth::Certificate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metastore::{PrincipalSecret, Proof};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::GraphError;
use super::programs::checked_name;

/// One of the list that a client sends: the whole list, as it is to be.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyCredential {
    #[serde(default)]
    key_id: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    /// The certificate in DER, in base64. What is there already is named by its id alone.
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    end_date_time: Option<jiff::Timestamp>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    usage: Option<String>,
}

/// What the list comes to.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    pub(crate) kept: Vec<Uuid>,
    pub(crate) added: Vec<PrincipalSecret>,
}

impl Certificates {
    /// `None`: the body says nothing of them.
    ///
    /// # Errors
    /// 400 for what is no certificate that can be used, or none of those there are.
    pub(crate) fn of(
        body: &Map<String, Value>,
        held: &[PrincipalSecret],
        now_ms: i64,
    ) -> Result<Option<Self>, GraphError> {
        let Some(list) = body.get("keyCredentials").filter(|list| !list.is_null()) else { return Ok(None) };
        let list: Vec<KeyCredential> = serde_json::from_value(list.clone())
            .map_err(|error| GraphError::bad(&format!("The keyCredentials cannot be read: {error}.")))?;
        let mut certificates = Self::default();
        for one in list {
            let id = one.key_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
            match (id.filter(|id| held.iter().any(|held| held.id == *id)), &one.key) {
                (Some(id), _) => certificates.kept.push(id),
                (None, Some(key)) => certificates.added.push(new(&one, key, now_ms)?),
                (None, None) => {
                    return Err(GraphError::bad(
                        "A new keyCredential needs its key: a certificate in base64.",
                    ));
                }
            }
        }
        Ok(Some(certificates))
    }
}

fn new(one: &KeyCredential, key: &str, now_ms: i64) -> Result<PrincipalSecret, GraphError> {
    let is = |found: &Option<String>, wanted: &str| found.as_deref().is_none_or(|found| found == wanted);
    if !is(&one.kind, "AsymmetricX509Cert") || !is(&one.usage, "Verify") {
        return Err(GraphError::bad(
            "A keyCredential is of the type AsymmetricX509Cert, for the usage Verify.",
        ));
    }
    let plain: String = key.chars().filter(|character| !character.is_whitespace()).collect();
    let der = STANDARD.decode(plain);
    let der = der.map_err(|_| GraphError::bad("The key of a keyCredential is a certificate in base64."))?;
    let certificate = Certificate::from_der(&der)
        .map_err(|error| GraphError::bad(&format!("The certificate cannot be used: {error}.")))?;
    // Whichever comes first.
    let end_ms = one.end_date_time.map_or(certificate.end_ms, jiff::Timestamp::as_millisecond);
    let expires_ms = end_ms.min(certificate.end_ms);
    if expires_ms <= now_ms {
        return Err(GraphError::bad("The certificate's end is over."));
    }
    Ok(PrincipalSecret {
        id: Uuid::new_v4(),
        name: checked_name(one.display_name.clone())?,
        proof: Proof::Keys { keys: certificate.keys, issuer: None },
        created_ms: now_ms,
        expires_ms: Some(expires_ms),
    })
}
