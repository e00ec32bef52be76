//! Tokens that must not pass: each changes one thing of a good one. They are signed here with the
//! server's own key where they can be, so that nothing but the changed thing can refuse them.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;

use auth::roles::OWNER;
use auth::{Auth, SigningKey, TokenError, hash_secret, roles};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use metastore::{Durability, Metastore, Principal, PrincipalKind, PrincipalSecret, RoleAssignment};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: [u8; 32] = [1; 32];
const NOW_S: i64 = 1_800_000_000;
const MANAGEMENT: &str = "https://management.azure.com";
const ANN: Uuid = Uuid::from_u128(1);

struct House {
    auth: Auth,
    metastore: Metastore,
    /// The claims of a good management token.
    claims: Value,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    for (id, name, role) in [(ANN, "ann", roles::READER), (Uuid::from_u128(2), "owner", OWNER)] {
        let principal = Principal::new(id, name.to_owned(), PrincipalKind::Program);
        let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret("right"));
        let role = RoleAssignment::new(id, id, role, "/".to_owned());
        assert!(metastore.create_principal(principal, secret, role, 0).await.unwrap());
    }
    let clock = Arc::new(|| NOW_S * 1000);
    let auth = Auth::new(metastore.clone(), SigningKey::new(&KEY).unwrap(), Uuid::from_u128(7), clock);
    let ann = auth.password("ann", "right").await.unwrap();
    let good = auth.issue_management_token(&ann, MANAGEMENT).unwrap().token;
    let payload = URL_SAFE_NO_PAD.decode(good.split('.').nth(1).unwrap()).unwrap();
    let claims = serde_json::from_slice(&payload).unwrap();
    House { auth, metastore, claims, _folder: folder }
}

fn signed(algorithm: Algorithm, key: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap()
}

impl House {
    /// With one claim changed, and signed as the server signs.
    fn with(&self, claim: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[claim] = value;
        signed(Algorithm::HS256, &KEY, &claims)
    }

    async fn says(&self, token: &str) -> &'static str {
        match self.auth.verify_management_token(token).await {
            Ok(_) => "good",
            Err(TokenError::Expired) => "expired",
            Err(TokenError::Invalid) => "invalid",
            Err(TokenError::UnknownPrincipal) => "nobody",
            Err(TokenError::Store(_)) => "broken",
        }
    }
}

#[tokio::test]
async fn the_token_that_the_others_change_is_good() {
    let house = house().await;
    assert_eq!(house.says(&signed(Algorithm::HS256, &KEY, &house.claims)).await, "good");
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let house = house().await;
    for audience in ["https://graph.microsoft.com", "https://containerregistry.azure.net", "lazaret/1/0", ""]
    {
        assert_eq!(house.says(&house.with("aud", audience.into())).await, "invalid", "{audience}");
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let house = house().await;
    for issuer in ["https://sts.windows.net/7/", "lazaret", ""] {
        assert_eq!(house.says(&house.with("iss", issuer.into())).await, "invalid", "{issuer}");
    }
}

#[tokio::test]
async fn a_token_of_another_tenant_is_refused() {
    let house = house().await;
    assert_eq!(house.says(&house.with("tid", Uuid::from_u128(8).to_string().into())).await, "invalid");
}

#[tokio::test]
async fn a_token_signed_with_another_key_is_refused() {
    let house = house().await;
    assert_eq!(house.says(&signed(Algorithm::HS256, &[2; 32], &house.claims)).await, "invalid");
    assert_eq!(house.says(&signed(Algorithm::HS256, b"", &house.claims)).await, "invalid");
}

/// There is one algorithm and no public key, so none can be taken for a secret; the right key under
/// another algorithm's name is refused, too.
#[tokio::test]
async fn a_token_of_another_algorithm_is_refused() {
    let house = house().await;
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(house.says(&signed(algorithm, &KEY, &house.claims)).await, "invalid", "{algorithm:?}");
    }
    let payload = URL_SAFE_NO_PAD.encode(house.claims.to_string());
    let good = signed(Algorithm::HS256, &KEY, &house.claims);
    let signature = good.rsplit_once('.').unwrap().1;
    for header in [json!({"alg": "RS256"}), json!({"alg": "ES256"}), json!({"alg": "hs256"}), json!({})] {
        let token = format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(house.says(&token).await, "invalid", "{header}");
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let house = house().await;
    let payload = URL_SAFE_NO_PAD.encode(house.claims.to_string());
    for algorithm in ["none", "None", "NONE", "HS256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "typ": "JWT" }).to_string());
        for token in [format!("{header}.{payload}."), format!("{header}.{payload}")] {
            assert_eq!(house.says(&token).await, "invalid", "{algorithm}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_and_one_of_the_future_are_refused() {
    let house = house().await;
    assert_eq!(house.says(&house.with("exp", (NOW_S - 10).into())).await, "expired");
    assert_eq!(house.says(&house.with("nbf", (NOW_S + 10).into())).await, "invalid");
    for damaged in [json!("never"), json!(null), json!(1e300)] {
        assert_eq!(house.says(&house.with("exp", damaged.clone())).await, "invalid", "{damaged}");
    }
}

#[tokio::test]
async fn a_token_of_another_kind_is_refused() {
    let house = house().await;
    for kind in ["registry", "refresh", "owner"] {
        assert_eq!(house.says(&house.with("kind", kind.into())).await, "invalid", "{kind}");
    }
}

#[tokio::test]
async fn a_token_of_a_changed_secret_or_a_removed_principal_is_refused() {
    let house = house().await;
    let token = signed(Algorithm::HS256, &KEY, &house.claims);
    assert!(
        house
            .metastore
            .replace_secrets(ANN, PrincipalSecret::new(Uuid::new_v4(), hash_secret("another")), 1)
            .await
            .unwrap()
    );
    assert_eq!(house.says(&token).await, "invalid");
    assert!(house.metastore.delete_principal(ANN, OWNER).await.unwrap());
    assert_eq!(house.says(&token).await, "nobody");
    assert_eq!(house.says(&house.with("oid", Uuid::from_u128(2).to_string().into())).await, "invalid");
}

#[tokio::test]
async fn a_renewal_is_for_its_program_and_its_time_and_nothing_else() {
    let house = house().await;
    let ann = house.auth.password("ann", "right").await.unwrap();
    let (program, other) = (Uuid::from_u128(3), Uuid::from_u128(4));
    let good = house.auth.issue_renewal_token(&ann, program).unwrap().token;
    let payload = URL_SAFE_NO_PAD.decode(good.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let with = |claim: &str, value: Value| {
        let mut changed = claims.clone();
        changed[claim] = value;
        signed(Algorithm::HS256, &KEY, &changed)
    };
    assert_eq!(house.auth.renew(&good, program).await.unwrap().id, ANN);
    let refused = async |token: &str| house.auth.renew(token, program).await.unwrap_err();
    assert!(matches!(house.auth.renew(&good, other).await, Err(TokenError::Invalid)));
    assert!(matches!(refused(&with("exp", (NOW_S - 60).into())).await, TokenError::Expired));
    for (claim, value) in [
        ("kind", json!("management")),
        ("aud", json!(MANAGEMENT)),
        ("iss", json!("x")),
        ("tid", json!(Uuid::nil())),
        ("nbf", json!(NOW_S + 60)),
        ("secret", json!(Uuid::nil())),
    ] {
        assert!(matches!(refused(&with(claim, value)).await, TokenError::Invalid), "{claim}");
    }
    assert!(matches!(refused(&with("oid", json!(Uuid::nil()))).await, TokenError::UnknownPrincipal));
    for (algorithm, key) in [(Algorithm::HS512, KEY), (Algorithm::HS256, [2; 32])] {
        assert!(matches!(refused(&signed(algorithm, &key, &claims)).await, TokenError::Invalid));
    }
    for token in
        [house.auth.issue_management_token(&ann, MANAGEMENT), house.auth.issue_refresh_token(&ann, "renewal")]
    {
        assert!(matches!(refused(&token.unwrap().token).await, TokenError::Invalid));
    }
    assert_eq!(house.says(&good).await, "invalid", "nor is it any of the others");
}
