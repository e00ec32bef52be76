//! People sign in: by password, with a browser for a program on their machine, with a browser for a device; and go
//! on without being asked again until their secret is no more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");
/// Whatever a program calls itself.
const CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const SCOPE: &str = "https://management.azure.com/.default offline_access openid profile";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct House {
    server: Server,
    http: reqwest::Client,
    tenant: String,
    password: String,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = Server::start(ServerOptions::new(LAZARET, &data));
    // It sets up TLS for all clients of the process.
    drop(server.client());
    let policy = reqwest::redirect::Policy::none();
    let http = reqwest::Client::builder().no_proxy().redirect(policy).build().expect("a client");
    let made = server.command(&["principal", "create", "mara", "--role", "Reader"]);
    let made = String::from_utf8_lossy(&made.stdout).into_owned();
    let password = made.split_whitespace().find(|word| word.len() == 32).expect("a password").to_owned();
    let endpoints: Value =
        get(&http, &format!("http://{}/metadata/endpoints?api-version=2022-09-01", server.address))
            .await
            .json()
            .await
            .expect("JSON");
    let tenant = endpoints["authentication"]["tenant"].as_str().expect("a tenant").to_owned();
    House { server, http, tenant, password, _folder: folder }
}

async fn get(http: &reqwest::Client, url: &str) -> Response {
    http.get(url).send().await.expect("answers")
}

async fn json(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

impl House {
    fn url(&self, path: &str) -> String {
        format!("http://{}{}", self.server.address, path.replace("{tenant}", &self.tenant))
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        json(self.http.post(self.url(path)).form(form).send().await.expect("answers")).await
    }

    async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let known = [("client_id", CLIENT), ("client_info", "1")];
        // The scope of a device was said when it began.
        let scope: &[_] =
            if form.iter().any(|(name, _)| *name == "device_code") { &[] } else { &[("scope", SCOPE)] };
        let form = [&known, scope, form].concat();
        self.post("/organizations/oauth2/v2.0/token", &form).await
    }

    /// What the page at this address asks for: its cookie, and its hidden fields.
    async fn page(&self, path: &str) -> (String, Vec<(String, String)>) {
        let page = get(&self.http, &self.url(path)).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let cookie = page.headers()["set-cookie"].to_str().expect("a text").to_owned();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let text = page.text().await.expect("a page");
        let hidden = text.split("<input type=hidden name=").skip(1).map(|rest| {
            let (name, rest) = rest.split_once(" value=\"").expect("a value");
            (name.to_owned(), rest.split('"').next().unwrap_or_default().replace("&amp;", "&"))
        });
        (cookie.split(';').next().unwrap_or_default().to_owned(), hidden.collect())
    }

    async fn send(
        &self,
        path: &str,
        cookie: &str,
        fields: &[(String, String)],
        more: &[(&str, &str)],
    ) -> Response {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let form: Vec<(String, String)> = fields.iter().cloned().chain(more).collect();
        let request = self.http.post(self.url(path)).header("cookie", cookie).form(&form);
        request.send().await.expect("answers")
    }

    async fn is_let_in(&self, token: &Value) -> u16 {
        let url = self.url("/tenants?api-version=2022-12-01");
        let token = token["access_token"].as_str().expect("a token");
        self.http.get(url).bearer_auth(token).send().await.expect("answers").status().as_u16()
    }
}

fn claims(token: &Value) -> (Value, Value) {
    let token = token["id_token"].as_str().expect("an id token");
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64"));
    let mut next = || serde_json::from_slice(&parts.next().expect("a part")).expect("JSON");
    (next(), next())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_once_and_ends_with_its_secret() {
    let house = house().await;
    let (status, wrong) =
        house.token(&[("grant_type", "password"), ("username", "mara"), ("password", "guess")]).await;
    assert_eq!((status, wrong["error"].as_str()), (400, Some("invalid_grant")), "{wrong}");
    assert_eq!(wrong["error_codes"][0], 50126, "{wrong}");

    let password = [("grant_type", "password"), ("username", "mara"), ("password", house.password.as_str())];
    let (status, first) = house.token(&password).await;
    assert_eq!((status, house.is_let_in(&first).await), (200, 200), "{first}");
    let (header, said) = claims(&first);
    assert_eq!((said["preferred_username"].as_str(), said["aud"].as_str()), (Some("mara"), Some(CLIENT)));
    assert_eq!(said["iss"].as_str(), Some(house.url("/{tenant}/v2.0").as_str()));
    let (_, discovery) =
        json(get(&house.http, &house.url("/common/v2.0/.well-known/openid-configuration")).await).await;
    assert_eq!(discovery["issuer"], said["iss"]);
    let (_, keys) = json(get(&house.http, discovery["jwks_uri"].as_str().expect("an address")).await).await;
    assert_eq!((&keys["keys"][0]["kid"], &header["alg"]), (&header["kid"], &"ES256".into()), "{keys}");
    let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(keys["keys"][0].clone()).expect("a key");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&[CLIENT]);
    let key = jsonwebtoken::DecodingKey::from_jwk(&key).expect("a key");
    let id_token = first["id_token"].as_str().expect("an id token");
    jsonwebtoken::decode::<Value>(id_token, &key, &validation).expect("signed with the published key");

    let renewal = first["refresh_token"].as_str().expect("a refresh token");
    let renew = [("grant_type", "refresh_token"), ("refresh_token", renewal)];
    let (status, second) = house.token(&renew).await;
    assert_eq!((status, house.is_let_in(&second).await), (200, 200), "{second}");
    assert!(second["refresh_token"].as_str().is_some_and(|token| token != renewal));
    // Who asks for nothing in particular gets what was granted.
    let (status, third) =
        house.post("/{tenant}/oauth2/v2.0/token", &[("client_id", CLIENT), renew[0], renew[1]]).await;
    assert_eq!((status, house.is_let_in(&third).await), (200, 200), "{third}");
    // It is none of the others, nor another client's.
    let bearer = [
        ("grant_type", "refresh_token"),
        ("refresh_token", first["access_token"].as_str().unwrap_or_default()),
    ];
    assert_eq!(house.token(&bearer).await.1["error"], "invalid_grant");
    let as_access = serde_json::json!({ "access_token": renewal });
    assert_eq!(house.is_let_in(&as_access).await, 401);
    let other = [("client_id", "11111111-1111-1111-1111-111111111111"), ("scope", SCOPE), renew[0], renew[1]];
    assert_eq!(house.post("/{tenant}/oauth2/v2.0/token", &other).await.1["error"], "invalid_grant");

    let program = [
        ("client_id", "mara"),
        ("client_secret", house.password.as_str()),
        ("scope", SCOPE),
        ("grant_type", "client_credentials"),
    ];
    let (_, program) = house.post("/{tenant}/oauth2/v2.0/token", &program).await;
    assert!(program["access_token"].is_string() && program["refresh_token"].is_null(), "{program}");

    let removed = house.server.command(&["principal", "delete", "mara"]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(house.token(&renew).await.1["error"], "invalid_grant", "with the principal it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_for_a_program_on_the_same_machine() {
    let house = house().await;
    let asked = |redirect: &str, more: &str| {
        format!(
            "/{{tenant}}/oauth2/v2.0/authorize?client_id={CLIENT}&response_type=code&redirect_uri={redirect}&state=a%22%3E%3Cb\
             &nonce=n1&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
        )
    };
    let elsewhere = get(&house.http, &house.url(&asked("https://example.com/", ""))).await;
    assert_eq!((elsewhere.status().as_u16(), elsewhere.headers().get("location")), (400, None));
    let plain = asked("http://localhost:8400/", "").replace("S256", "plain");
    let refused = get(&house.http, &house.url(&plain)).await;
    let location = refused.headers()["location"].to_str().expect("a text").to_owned();
    assert!(location.starts_with("http://localhost:8400/?error=invalid%5Frequest&"), "{location}");

    let path = asked("http://localhost:8400/", "");
    let (cookie, fields) = house.page(&path).await;
    let state = fields.iter().find(|(name, _)| name == "state").expect("carried");
    assert_eq!(state.1, "a&quot;&gt;&lt;b", "nothing of the address is markup");
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| if name == "state" { (name, "s1".to_owned()) } else { (name, value) })
        .collect();
    let person = [("username", "mara"), ("password", house.password.as_str())];
    let forged = house.send(&path, "lazaret_sign_in=other", &fields, &person).await;
    assert_eq!(forged.status(), StatusCode::BAD_REQUEST, "another site sent it");
    let wrong = house.send(&path, &cookie, &fields, &[("username", "mara"), ("password", "guess")]).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(wrong.text().await.expect("a page").contains("The name or the password is wrong."));
    // Another window in between changes nothing.
    let other =
        house.http.get(house.url("/devicelogin")).header("cookie", &cookie).send().await.expect("answers");
    assert!(other.headers()["set-cookie"].to_str().expect("a text").starts_with(&cookie));
    let sent = house.send(&path, &cookie, &fields, &person).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let location =
        reqwest::Url::parse(sent.headers()["location"].to_str().expect("a text")).expect("an address");
    assert_eq!((location.host_str(), location.port()), (Some("localhost"), Some(8400)));
    let found =
        |name: &str| location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(found("state").as_deref(), Some("s1"));
    let code = found("code").expect("a code");
    let redeem = |verifier: &'static str| {
        [
            ("grant_type", "authorization_code"),
            ("redirect_uri", "http://localhost:8400/"),
            ("code_verifier", verifier),
        ]
    };
    let with = |verifier| [&redeem(verifier)[..], &[("code", code.as_str())]].concat();
    let (status, token) = house.token(&with(VERIFIER)).await;
    assert_eq!((status, house.is_let_in(&token).await), (200, 200), "{token}");
    assert_eq!(claims(&token).1["nonce"], "n1");
    assert_eq!(house.token(&with(VERIFIER)).await.1["error"], "invalid_grant", "once");

    // Programs that listen for a form get one; a wrong verifier uses the code up.
    let posted = house.send(&path, &cookie, &fields, &[person[0], person[1]]).await;
    assert_eq!(posted.status(), StatusCode::SEE_OTHER);
    let path = asked("http://127.0.0.1:9/x", "&response_mode=form_post");
    let (cookie, fields) = house.page(&path).await;
    let page = house.send(&path, &cookie, &fields, &person).await;
    let policy = page.headers()["content-security-policy"].to_str().expect("a text").to_owned();
    assert!(policy.ends_with("form-action http://127.0.0.1:9"), "{policy}");
    let page = page.text().await.expect("a page");
    let code =
        page.split("name=code value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a code");
    let form =
        [("grant_type", "authorization_code"), ("redirect_uri", "http://127.0.0.1:9/x"), ("code", code)];
    let wrong = [&form[..], &[("code_verifier", "wrong")]].concat();
    assert_eq!(house.token(&wrong).await.1["error"], "invalid_grant");
    let right = [&form[..], &[("code_verifier", VERIFIER)]].concat();
    assert_eq!(house.token(&right).await.1["error"], "invalid_grant", "a code is tried once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_for_a_device_elsewhere() {
    let house = house().await;
    let begin = [("client_id", CLIENT), ("scope", SCOPE)];
    let (status, begun) = house.post("/{tenant}/oauth2/v2.0/devicecode", &begin).await;
    assert_eq!(status, 200, "{begun}");
    let text = |name: &str| begun[name].as_str().expect("a text").to_owned();
    let (device_code, user_code) = (text("device_code"), text("user_code"));
    assert!(text("message").contains(&user_code) && text("verification_uri").ends_with("/devicelogin"));
    let poll = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code.as_str()),
    ];
    assert_eq!(house.token(&poll).await.1["error"], "authorization_pending");
    assert_eq!(house.token(&poll).await.1["error"], "slow_down");

    let (cookie, fields) = house.page("/devicelogin").await;
    let person = |code| [("user_code", code), ("username", "mara"), ("password", house.password.as_str())];
    let wrong = house.send("/devicelogin", &cookie, &fields, &person("BCDF-GHJK")).await;
    assert!(wrong.text().await.expect("a page").contains("No device waits under this code."));
    let forged = house.send("/devicelogin", "", &fields, &person(&user_code)).await;
    assert_eq!(forged.status(), StatusCode::BAD_REQUEST);
    let lower = user_code.to_lowercase();
    let sent = house.send("/devicelogin", &cookie, &fields, &person(&lower)).await;
    assert_eq!(sent.status(), StatusCode::OK);
    let (status, token) = house.token(&poll).await;
    assert_eq!((status, house.is_let_in(&token).await), (200, 200), "{token}");
    assert!(token["refresh_token"].is_string() && token["client_info"].is_string());
    assert_eq!(house.token(&poll).await.1["error"], "expired_token", "once");
    for number in 0..20 {
        assert_eq!(house.post("/{tenant}/oauth2/v2.0/devicecode", &begin).await.0, 200, "{number}");
    }
    let form = house.http.post(house.url("/{tenant}/oauth2/v2.0/devicecode")).form(&begin);
    let refused = form.send().await.expect("answers");
    let wait = refused.headers()["retry-after"].to_str().expect("a text").parse::<u64>().expect("seconds");
    assert!(refused.status() == 429 && (800..=901).contains(&wait), "{} {wait}", refused.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn azures_libraries_sign_people_in_unmodified() {
    let Some(python) = testkit::python("azure", "Azure's SDKs for Python") else { return };
    let house = house().await;
    let output = std::process::Command::new(python)
        .arg(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sign_in.py"))
        .arg(format!("https://{}", house.server.tls_address))
        .args([&house.tenant, "mara", &house.password])
        .env("REQUESTS_CA_BUNDLE", house.server.data().join("ca.pem"))
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
