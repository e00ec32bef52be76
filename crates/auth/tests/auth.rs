//! Secrets and tokens, over a real metastore and a clock that the test moves.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use auth::{
    Access, Action, Auth, AuthError, Caller, Home, ResourceAccess, SigningKey, TokenError, hash_secret, roles,
};
use base64::Engine as _;
use metastore::{
    AddSecret, Durability, Metastore, NewRegistry, Principal, PrincipalKind, PrincipalSecret, RegistryToken,
    ResourceGroup, RoleAssignment, SECRETS_MAX, Subscription, Tier, TokenChange, TokenPassword,
};
use uuid::Uuid;

const TENANT: Uuid = Uuid::from_u128(7);
const MANAGEMENT: &str = "https://management.azure.com/";

struct House {
    auth: Auth,
    metastore: Metastore,
    now_ms: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    for (id, name, secret) in [(1, "ann", "right"), (2, "bob", "other")] {
        let principal = Principal::new(Uuid::from_u128(id), name.to_owned(), PrincipalKind::Program);
        let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret(secret));
        let role =
            RoleAssignment::new(Uuid::from_u128(100 + id), principal.id, roles::READER, "/".to_owned());
        assert!(metastore.create_principal(principal, secret, role, 0).await.unwrap());
    }
    let first = Subscription { id: TENANT, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(TENANT, "default".to_owned(), "local".to_owned());
    metastore.create_tenancy(TENANT, first, Tier::Standard, group, "lazaret", 0).await.unwrap();
    let now_ms = Arc::new(AtomicI64::new(1_800_000_000_000));
    let auth = with_key(&metastore, &now_ms, [1; 32], TENANT);
    House { auth, metastore, now_ms, _folder: folder }
}

fn with_key(metastore: &Metastore, now_ms: &Arc<AtomicI64>, key: [u8; 32], tenant: Uuid) -> Auth {
    let now_ms = Arc::clone(now_ms);
    let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
    Auth::new(metastore.clone(), SigningKey::new(&key).unwrap(), tenant, clock)
}

impl House {
    fn later(&self, seconds: i64) {
        self.now_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// The one registry, as it is now.
    async fn home(&self) -> Home {
        Home::of(self.metastore.registries().await.unwrap().remove(0), false)
    }

    async fn ann(&self) -> Caller {
        self.auth.password("ann", "right").await.unwrap()
    }
}

#[tokio::test]
async fn a_name_or_an_id_and_the_secret_make_a_caller() {
    let house = house().await;
    let ann = house.ann().await;
    assert_eq!((ann.name.as_str(), ann.may(Action::Pull, "/x")), ("ann", true));
    assert_eq!(house.auth.password(&Uuid::from_u128(1).to_string(), "right").await.unwrap(), ann);
    for (name, secret) in
        [("ann", "wrong"), ("ann", ""), ("ann", "other"), ("nobody", "right"), ("nobody", "")]
    {
        let refused = house.auth.password(name, secret).await;
        assert!(matches!(refused, Err(AuthError::BadCredentials)), "{name} {secret}");
    }
}

#[tokio::test]
async fn guessing_ends_and_does_not_lock_out_who_was_right_before() {
    let house = house().await;
    house.ann().await;
    for _ in 0..10 {
        let refused = house.auth.password("bob", "guess").await;
        assert!(matches!(refused, Err(AuthError::BadCredentials)));
        assert!(house.auth.password("ann", "guess").await.is_err());
    }
    let locked = house.auth.password("bob", "other").await;
    assert!(matches!(locked, Err(AuthError::TooManyAttempts { retry_after_s: 60 })), "{locked:?}");
    house.ann().await;
    house.later(60);
    assert_eq!(house.auth.password("bob", "other").await.unwrap().name, "bob");
}

tokio::task_local! {
    /// The address that a request comes from.
    static ADDRESS: &'static str;
}

impl House {
    async fn placed() -> Self {
        let house = house().await;
        let asked_from = || ADDRESS.try_with(|address| (*address).to_owned()).unwrap_or_default();
        Self { auth: house.auth.asked_from(Arc::new(asked_from)), ..house }
    }

    async fn from(&self, address: &'static str, name: &str, secret: &str) -> Result<Caller, AuthError> {
        ADDRESS.scope(address, self.auth.password(name, secret)).await
    }
}

#[tokio::test]
async fn guesses_from_one_place_lock_a_name_there_alone() {
    let house = House::placed().await;
    for number in 0..11 {
        let address = if number % 2 == 0 { "2001:db8:0:1::1" } else { "2001:db8:0:1::2" };
        assert!(house.from(address, "bob", "guess").await.is_err());
    }
    let there = house.from("2001:db8:0:1::3", "bob", "other").await;
    assert!(matches!(there, Err(AuthError::TooManyAttempts { .. })), "{there:?}");
    assert_eq!(house.from("2001:db8:0:2::1", "bob", "other").await.unwrap().name, "bob");
}

#[tokio::test]
async fn a_flood_of_guesses_does_not_go_before_a_sign_in_from_elsewhere_or_a_known_place() {
    for (address, was_here) in [("192.0.2.2", false), ("192.0.2.1", true)] {
        let house = House::placed().await;
        if was_here {
            house.from(address, "bob", "other").await.unwrap();
            // What is remembered of the secret is forgotten; where it was shown is not.
            house.later(3600);
        }
        let ended = Arc::new(AtomicI64::new(0));
        let flood: Vec<_> = (0..60)
            .map(|number| {
                let (auth, ended) = (house.auth.clone(), Arc::clone(&ended));
                tokio::spawn(ADDRESS.scope("192.0.2.1", async move {
                    let guess = auth.password(&format!("name {number}"), "guess").await;
                    ended.fetch_add(1, Ordering::Relaxed);
                    guess.is_err()
                }))
            })
            .collect();
        // All of them wait once a first one has its answer and the others have been looked up.
        while ended.load(Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
        let before = ended.load(Ordering::Relaxed);
        house.from(address, "bob", "other").await.unwrap();
        let meanwhile = ended.load(Ordering::Relaxed) - before;
        assert!(meanwhile < 10, "{meanwhile} guesses went first");
        for guess in flood {
            assert!(guess.await.unwrap());
        }
    }
}

#[tokio::test]
async fn each_kind_of_token_is_good_for_its_own_purpose_only() {
    let house = house().await;
    let ann = house.ann().await;
    let access = vec![ResourceAccess {
        kind: "repository".to_owned(),
        name: "app/web".to_owned(),
        actions: vec![Access::Pull, Access::Push],
    }];
    let registry = house.auth.issue_registry_token(Some(&ann), "reg", access.clone()).unwrap();
    let home = house.home().await;
    let refresh = house.auth.issue_refresh_token(&ann, &home.audience).unwrap();
    let management = house.auth.issue_management_token(&ann, MANAGEMENT).unwrap();
    assert!(house.auth.issue_management_token(&ann, "https://graph.microsoft.com").is_err());

    let claims = house.auth.verify_registry_token(&registry.token, "reg").unwrap();
    assert_eq!((claims.subject, &claims.access), (Some(ann.id), &access));
    assert_eq!(house.auth.refresh(&refresh.token, &home).await.unwrap(), ann);
    assert_eq!(house.auth.verify_management_token(&management.token).await.unwrap(), ann);

    assert!(house.auth.verify_registry_token(&registry.token, "other").is_err());
    let elsewhere = house.auth.issue_refresh_token(&ann, "other").unwrap();
    assert!(house.auth.refresh(&elsewhere.token, &home).await.is_err());
    for other in [&refresh, &management] {
        assert!(house.auth.verify_registry_token(&other.token, "reg").is_err());
        assert!(house.auth.verify_registry_token(&other.token, MANAGEMENT).is_err());
    }
    for other in [&registry, &refresh] {
        assert!(house.auth.verify_management_token(&other.token).await.is_err());
    }
    for other in [&registry, &management] {
        assert!(house.auth.refresh(&other.token, &home).await.is_err());
    }
    let nobody = house.auth.issue_registry_token(None, "reg", vec![]).unwrap();
    assert_eq!(house.auth.verify_registry_token(&nobody.token, "reg").unwrap().subject, None);
}

#[tokio::test]
async fn tokens_end_and_are_not_good_too_early() {
    let house = house().await;
    let ann = house.ann().await;
    let token = house.auth.issue_registry_token(Some(&ann), "reg", vec![]).unwrap();
    assert_eq!(token.expires_in_s, 600);
    house.later(604);
    assert!(house.auth.verify_registry_token(&token.token, "reg").is_ok());
    house.later(2);
    assert!(matches!(house.auth.verify_registry_token(&token.token, "reg"), Err(TokenError::Expired)));
    house.later(-700);
    assert!(matches!(house.auth.verify_registry_token(&token.token, "reg"), Err(TokenError::Invalid)));
}

#[tokio::test]
async fn what_is_not_signed_by_us_for_us_is_invalid() {
    let house = house().await;
    let ann = house.ann().await;
    let token = house.auth.issue_management_token(&ann, MANAGEMENT).unwrap().token;
    let parts: Vec<&str> = token.split('.').collect();
    let url = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let none = url.encode(r#"{"typ":"JWT","alg":"none"}"#);
    let other_algorithm = url.encode(r#"{"typ":"JWT","alg":"HS384"}"#);
    let bob = String::from_utf8(url.decode(parts[1]).unwrap())
        .unwrap()
        .replace(&ann.id.to_string(), &Uuid::from_u128(2).to_string());
    let foreign = with_key(&house.metastore, &house.now_ms, [2; 32], TENANT);
    let elsewhere = with_key(&house.metastore, &house.now_ms, [1; 32], Uuid::from_u128(8));
    let bobs = house
        .auth
        .issue_management_token(&house.auth.password("bob", "other").await.unwrap(), MANAGEMENT)
        .unwrap();
    assert!(house.metastore.delete_principal(Uuid::from_u128(2), roles::READER).await.unwrap());
    for bad in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{other_algorithm}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], url.encode(bob), parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        foreign.issue_management_token(&ann, MANAGEMENT).unwrap().token,
        elsewhere.issue_management_token(&ann, MANAGEMENT).unwrap().token,
        "x".repeat(100_000),
        String::new(),
    ] {
        let refused = house.auth.verify_management_token(&bad).await;
        assert!(matches!(refused, Err(TokenError::Invalid)), "{bad:.80}");
    }
    let refused = house.auth.verify_management_token(&bobs.token).await;
    assert!(matches!(refused, Err(TokenError::UnknownPrincipal)));
}

#[tokio::test]
async fn a_changed_secret_ends_what_stood_for_the_old_one() {
    let house = house().await;
    let ann = house.ann().await;
    let refresh = house.auth.issue_refresh_token(&ann, &house.home().await.audience).unwrap().token;
    let management = house.auth.issue_management_token(&ann, MANAGEMENT).unwrap().token;
    assert!(
        house
            .metastore
            .replace_secrets(ann.id, PrincipalSecret::new(Uuid::new_v4(), hash_secret("next")), 1)
            .await
            .unwrap()
    );
    assert!(matches!(
        house.auth.refresh(&refresh, &house.home().await).await,
        Err(TokenError::UnknownPrincipal)
    ));
    assert!(matches!(house.auth.verify_management_token(&management).await, Err(TokenError::Invalid)));
    assert!(matches!(house.auth.password("ann", "right").await, Err(AuthError::BadCredentials)));
    assert_eq!(house.auth.password("ann", "next").await.unwrap().id, ann.id);
}

#[tokio::test]
async fn secrets_overlap_expire_and_end_what_was_issued_for_them_one_by_one() {
    let house = house().await;
    let (ann, home) = (house.ann().await, house.home().await);
    let (now_ms, key) = (house.now_ms.load(Ordering::Relaxed), Uuid::new_v4());
    let second = |id| PrincipalSecret {
        expires_ms: Some(now_ms + 60_000),
        ..PrincipalSecret::new(id, hash_secret("second"))
    };
    let holder = async |caller: &Caller| {
        let issued = house.auth.issue_registry_token(Some(caller), &home.audience, vec![]).unwrap();
        let claims = house.auth.verify_registry_token(&issued.token, &home.audience).unwrap();
        house.auth.holder(&home, &claims).await.unwrap()
    };
    assert_eq!(holder(&ann).await.as_ref(), Some(&ann));
    let added = house.metastore.add_secret(ann.id, second(key), now_ms).await.unwrap();
    assert_eq!(added, AddSecret::Added);
    let by_second = house.auth.password("ann", "second").await.unwrap();
    assert_eq!(holder(&by_second).await.as_ref(), Some(&by_second), "at once");
    let second_token = house.auth.issue_management_token(&by_second, MANAGEMENT).unwrap().token;
    let refresh = house.auth.issue_refresh_token(&by_second, &home.audience).unwrap().token;
    let first_token = house.auth.issue_management_token(&ann, MANAGEMENT).unwrap().token;
    assert_eq!(house.auth.verify_management_token(&second_token).await.unwrap(), by_second);
    assert_eq!(house.auth.refresh(&refresh, &home).await.unwrap(), by_second);
    assert_eq!(house.auth.verify_management_token(&first_token).await.unwrap(), ann);

    house.later(60);
    for _ in 0..20 {
        // Whoever has it guesses nothing, and locks nobody out.
        assert!(matches!(house.auth.password("ann", "second").await, Err(AuthError::ExpiredSecret)));
        let refused = house.auth.sign_in(&home, "ann", "second").await;
        assert!(matches!(refused, Err(AuthError::ExpiredSecret)));
    }
    assert!(matches!(house.auth.password("ann", "guess").await, Err(AuthError::BadCredentials)));
    assert!(matches!(house.auth.verify_management_token(&second_token).await, Err(TokenError::Invalid)));
    assert!(house.auth.refresh(&refresh, &home).await.is_err());
    assert_eq!(house.ann().await, ann);

    assert!(house.metastore.remove_secret(ann.id, key).await.unwrap());
    assert!(matches!(house.auth.password("ann", "second").await, Err(AuthError::BadCredentials)));
    let first = house.metastore.principal_secrets(ann.id).await.unwrap().remove(0).id;
    assert!(!house.metastore.remove_secret(Uuid::from_u128(2), first).await.unwrap(), "not bob's to lose");
    for _ in 1..SECRETS_MAX {
        house.metastore.add_secret(ann.id, second(Uuid::new_v4()), now_ms).await.unwrap();
    }
    let added = house.metastore.add_secret(ann.id, second(Uuid::new_v4()), now_ms).await.unwrap();
    assert_eq!(added, AddSecret::TooMany);
    assert!(house.metastore.remove_secret(ann.id, first).await.unwrap());
    assert!(matches!(house.auth.verify_management_token(&first_token).await, Err(TokenError::Invalid)));
    let added = house.metastore.add_secret(Uuid::nil(), second(Uuid::new_v4()), now_ms).await.unwrap();
    assert_eq!(added, AddSecret::NoPrincipal);
}

/// Azure's Python client decodes it so.
#[tokio::test]
async fn a_refresh_token_survives_the_standard_alphabet() {
    let house = house().await;
    let ann = house.ann().await;
    for _ in 0..50 {
        let token = house.auth.issue_refresh_token(&ann, "lazaret").unwrap().token;
        let payload = token.split('.').nth(1).unwrap();
        let claims = base64::engine::general_purpose::STANDARD_NO_PAD.decode(payload).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["oid"], ann.id.to_string());
    }
}

#[test]
fn a_short_key_is_refused() {
    assert!(SigningKey::new(&[0; 31]).is_err());
    assert_eq!(SigningKey::random_bytes().len(), 32);
}

impl House {
    /// A token of the registry with a password of that name and secret.
    async fn token(&self, scope_map: &str, secret: &str, expires_ms: Option<i64>) -> RegistryToken {
        let registry = self.home().await.id;
        let change = TokenChange { scope_map: Some(scope_map.to_owned()), ..TokenChange::default() };
        self.metastore.put_registry_token(registry, "robot".to_owned(), change, 0).await.unwrap();
        let token = self.metastore.registry_token(registry, "Robot").await.unwrap().unwrap();
        let password = TokenPassword {
            name: "password1".to_owned(),
            secret_hash: hash_secret(secret),
            created_ms: 0,
            expires_ms,
        };
        self.metastore.set_token_passwords(registry, token.id, vec![password]).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_registrys_token_does_what_its_scope_map_says_and_until_its_password_expires() {
    let house = house().await;
    let home = house.home().await;
    let actions = Some(vec!["repositories/team/*/content/read".to_owned()]);
    house.metastore.put_scope_map(home.id, "team-map".to_owned(), None, actions, 0).await.unwrap();
    let made = house.token("team-map", "robots", Some(1_800_000_060_000)).await;
    let caller = house.auth.sign_in(&home, "robot", "robots").await.unwrap();
    assert_eq!((caller.id, caller.name.as_str()), (made.id, "robot"));
    let team = auth::repository_scope(&home.resource, "team/app");
    assert!(caller.may(Action::Pull, &team) && !caller.may(Action::ReadArtifactMetadata, &team));
    assert!(!caller.may(Action::Pull, &auth::repository_scope(&home.resource, "other")));
    assert!(house.auth.password("robot", "robots").await.is_err(), "at its registry alone");
    assert!(house.auth.sign_in(&home, "robot", "guess").await.is_err());
    assert_eq!(house.auth.sign_in(&home, "ann", "right").await.unwrap().name, "ann");

    let refresh = house.auth.issue_refresh_token(&caller, &home.audience).unwrap().token;
    assert_eq!(house.auth.refresh(&refresh, &home).await.unwrap(), caller);
    house.later(61);
    assert!(matches!(house.auth.sign_in(&home, "robot", "robots").await, Err(AuthError::BadCredentials)));
    assert!(house.auth.refresh(&refresh, &home).await.is_err());
    // Another password lets it in again; what stood for the first does not come back.
    house.token("_repositories_admin", "next", None).await;
    let caller = house.auth.sign_in(&home, "robot", "next").await.unwrap();
    assert!(caller.may(Action::Delete, &team) && caller.may(Action::WriteArtifactMetadata, &team));
    assert!(house.auth.refresh(&refresh, &home).await.is_err());
    let off = TokenChange { is_enabled: Some(false), ..TokenChange::default() };
    house.metastore.put_registry_token(home.id, "robot".to_owned(), off, 0).await.unwrap();
    assert!(house.auth.sign_in(&home, "robot", "next").await.is_err());
}

#[tokio::test]
async fn the_admin_user_has_two_passwords_that_are_renewed_one_by_one() {
    let house = house().await;
    let registry = house.metastore.registries().await.unwrap().remove(0);
    let [first, second] = house.auth.admin_passwords(&registry);
    assert!(first.len() > 40 && first != second);
    assert!(house.auth.sign_in(&house.home().await, "lazaret", &first).await.is_err(), "it is disabled");
    let wanted = NewRegistry {
        is_admin_enabled: Some(true),
        ..NewRegistry::new(registry.subscription, "default".to_owned(), "lazaret".to_owned())
    };
    house.metastore.put_registry(wanted, 0).await.unwrap();
    let home = house.home().await;
    let caller = house.auth.sign_in(&home, "Lazaret", &first).await.unwrap();
    let anything = auth::repository_scope(&home.resource, "any/thing");
    assert!(caller.may(Action::Delete, &anything) && !caller.may(Action::WriteRegistry, &home.resource));
    assert!(house.auth.sign_in(&home, "lazaret", "guess").await.is_err());

    let claims = |token: &str| house.auth.verify_registry_token(token, &home.audience).unwrap();
    let token = house.auth.issue_registry_token(Some(&caller), &home.audience, vec![]).unwrap().token;
    assert_eq!(house.auth.holder(&home, &claims(&token)).await.unwrap().unwrap().id, caller.id);
    let renewed = house.metastore.renew_admin_password(registry.id, false).await.unwrap().unwrap();
    assert_eq!(house.auth.admin_passwords(&renewed)[1], second);
    let home = house.home().await;
    assert!(house.auth.sign_in(&home, "lazaret", &first).await.is_err());
    assert!(house.auth.sign_in(&home, "lazaret", &second).await.is_ok());
    let others = with_key(&house.metastore, &house.now_ms, [1; 32], TENANT);
    assert!(
        others.holder(&home, &claims(&token)).await.unwrap().is_none(),
        "its token ended with the password"
    );
    let foreign = with_key(&house.metastore, &house.now_ms, [2; 32], TENANT);
    assert!(foreign.sign_in(&home, "lazaret", &second).await.is_err());
}
