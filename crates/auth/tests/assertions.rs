//! Assertions in the place of a secret: the good one, and everything that differs from it in one thing.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;

use auth::{Auth, AuthError, SigningKey, are_keys, roles};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use metastore::{
    AddSecret, Durability, Issuer, Metastore, Principal, PrincipalKind, PrincipalSecret, Proof,
    RoleAssignment,
};
use serde_json::{Value, json};
use uuid::Uuid;

const NOW_S: i64 = 1_800_000_000;
const ANN: Uuid = Uuid::from_u128(1);
const ENDPOINT: &str = "https://lazaret.example/t/oauth2/v2.0/token";

/// Somebody who signs.
struct Signer {
    pkcs8: Vec<u8>,
    keys: String,
}

fn signer() -> Signer {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let [x, y] = [x, y].map(|it| URL_SAFE_NO_PAD.encode(it));
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "one" }] });
    Signer { pkcs8: document.as_ref().to_vec(), keys: keys.to_string() }
}

impl Signer {
    fn signs(&self, claims: &Value) -> String {
        // What the header says of keys is nobody's business here.
        let header = Header { kid: Some("other".to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.pkcs8)).unwrap()
    }
}

struct House {
    auth: Auth,
    metastore: Metastore,
    _folder: tempfile::TempDir,
}

async fn house(proofs: Vec<(Proof, Option<i64>)>) -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    for (id, name) in [(ANN, "ann"), (Uuid::from_u128(2), "bob")] {
        let secret = PrincipalSecret::new(Uuid::new_v4(), auth::hash_secret("right"));
        let role = RoleAssignment::new(id, id, roles::READER, "/".to_owned());
        let principal = Principal::new(id, name.to_owned(), PrincipalKind::Program);
        assert!(metastore.create_principal(principal, secret, role, 0).await.unwrap());
    }
    for (proof, expires_ms) in proofs {
        let secret =
            PrincipalSecret { proof, expires_ms, ..PrincipalSecret::new(Uuid::new_v4(), String::new()) };
        assert_eq!(metastore.add_secret(ANN, secret, 0).await.unwrap(), AddSecret::Added);
    }
    let clock = Arc::new(|| NOW_S * 1000);
    let auth = Auth::new(metastore.clone(), SigningKey::new(&[1; 32]).unwrap(), Uuid::from_u128(7), clock);
    House { auth, metastore, _folder: folder }
}

impl House {
    async fn says(&self, client: &str, assertion: &str) -> &'static str {
        match self.auth.assertion(client, assertion, &[ENDPOINT.to_owned()]).await {
            Ok(caller) if caller.id == ANN => "ann",
            Ok(_) => "somebody",
            Err(AuthError::BadCredentials) => "refused",
            Err(AuthError::ExpiredSecret) => "expired",
            Err(_) => "failed",
        }
    }
}

fn own() -> Value {
    let id = ANN.to_string();
    json!({ "iss": id, "sub": id, "aud": ENDPOINT, "exp": NOW_S + 600, "nbf": NOW_S, "jti": "x" })
}

fn with(mut claims: Value, claim: &str, value: Value) -> Value {
    claims[claim] = value;
    claims
}

#[tokio::test]
async fn a_key_of_its_own_stands_for_a_principal() {
    let (key, other) = (signer(), signer());
    let proof = |keys: &Signer| Proof::Keys { keys: keys.keys.clone(), issuer: None };
    let house = house(vec![(proof(&other), None), (proof(&key), None)]).await;
    let id = ANN.to_string();
    assert_eq!(house.says(&id, &key.signs(&own())).await, "ann");
    for (claim, value) in [
        // Azure's Python client writes fractions, and others write lists.
        ("exp", json!(NOW_S as f64 + 0.5)),
        ("aud", json!(["x", ENDPOINT])),
        ("nbf", json!(NOW_S + 200)),
        ("exp", json!(NOW_S - 200)),
    ] {
        assert_eq!(house.says(&id, &key.signs(&with(own(), claim, value))).await, "ann", "{claim}");
    }
    for (claim, value) in [
        ("aud", json!("https://elsewhere.example/t/oauth2/v2.0/token")),
        ("aud", json!([])),
        ("iss", json!("bob")),
        ("sub", json!(Uuid::from_u128(2))),
        ("exp", json!(NOW_S - 301)),
        ("exp", json!("never")),
        ("exp", Value::Null),
        ("nbf", json!(NOW_S + 301)),
    ] {
        assert_eq!(
            house.says(&id, &key.signs(&with(own(), claim, value.clone()))).await,
            "refused",
            "{claim} {value}"
        );
    }
    let good = key.signs(&own());
    assert_eq!(house.says("bob", &good).await, "refused", "another's");
    assert_eq!(house.says("nobody", &good).await, "refused");
    assert_eq!(house.says(&id, &signer().signs(&own())).await, "refused", "a key that nobody has");
    let by_secret = EncodingKey::from_secret(key.keys.as_bytes());
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &own(), &by_secret).unwrap();
    assert_eq!(house.says(&id, &forged).await, "refused", "a public key is no secret");
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let unsigned = format!("{none}.{}.", URL_SAFE_NO_PAD.encode(own().to_string()));
    for text in [unsigned.as_str(), "", "a.b.c", &"a".repeat(1 << 20)] {
        assert_eq!(house.says(&id, text).await, "refused");
    }
    // A key is no secret to be typed.
    assert!(matches!(house.auth.password("ann", "").await, Err(AuthError::BadCredentials)));
    assert_eq!(house.auth.password("ann", "right").await.unwrap().id, ANN);
    // What it was exchanged for ends with it.
    let caller = house.auth.assertion(&id, &good, &[ENDPOINT.to_owned()]).await.unwrap();
    let token = house.auth.issue_management_token(&caller, "https://management.azure.com").unwrap().token;
    assert_eq!(house.auth.verify_management_token(&token).await.unwrap().id, ANN);
    for secret in house.metastore.principal_secrets(ANN).await.unwrap() {
        if matches!(secret.proof, Proof::Keys { .. }) {
            assert!(house.metastore.remove_secret(ANN, secret.id).await.unwrap());
        }
    }
    assert_eq!(house.says(&id, &good).await, "refused");
    assert!(house.auth.verify_management_token(&token).await.is_err());
}

#[tokio::test]
async fn an_issuer_that_it_trusts_vouches_for_a_principal() {
    let cluster = signer();
    let issuer = Issuer {
        issuer: "https://cluster.example".to_owned(),
        subject: "system:serviceaccount:team:robot".to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
    };
    let proof = Proof::Keys { keys: cluster.keys.clone(), issuer: Some(issuer) };
    let house = house(vec![(proof.clone(), None)]).await;
    let good = json!({
        "iss": "https://cluster.example", "sub": "system:serviceaccount:team:robot",
        "aud": ["api://AzureADTokenExchange"], "exp": NOW_S + 600,
    });
    let id = ANN.to_string();
    assert_eq!(house.says(&id, &cluster.signs(&good)).await, "ann");
    assert_eq!(house.says("ann", &cluster.signs(&good)).await, "ann");
    for (claim, value) in [
        ("iss", json!("https://cluster.example/")),
        ("sub", json!("system:serviceaccount:team:other")),
        ("aud", json!(ENDPOINT)),
        ("exp", json!(NOW_S - 301)),
    ] {
        let differs = with(good.clone(), claim, value);
        assert_eq!(house.says(&id, &cluster.signs(&differs)).await, "refused", "{claim}");
    }
    // It vouches for the one that it calls so, and cannot speak as the principal itself.
    assert_eq!(house.says(&id, &cluster.signs(&own())).await, "refused");
    assert_eq!(house.says("bob", &cluster.signs(&good)).await, "refused");
    let ended = self::house(vec![(proof.clone(), Some(NOW_S * 1000))]).await;
    assert_eq!(ended.says(&id, &cluster.signs(&good)).await, "expired");
    for renewed in [[Some(NOW_S * 1000), None], [None, Some(NOW_S * 1000)]] {
        let house = self::house(renewed.map(|end_ms| (proof.clone(), end_ms)).to_vec()).await;
        assert_eq!(house.says(&id, &cluster.signs(&good)).await, "ann", "{renewed:?}");
    }
}

#[test]
fn a_set_of_keys_is_one_that_can_be_used() {
    let good = signer().keys;
    assert!(are_keys(&good));
    let one = serde_json::from_str::<Value>(&good).unwrap()["keys"][0].clone();
    assert!(are_keys(&json!({ "keys": vec![one.clone(); 20] }).to_string()));
    for bad in [
        json!({ "keys": [] }),
        json!({ "keys": vec![one.clone(); 21] }),
        json!({ "keys": [one, { "kty": "oct", "k": "AAAA" }] }),
        json!({ "keys": [{ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" }] }),
        json!([]),
    ] {
        assert!(!are_keys(&bad.to_string()), "{bad}");
    }
}
