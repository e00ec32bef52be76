//! The pages on which a person signs in: for a program on their machine (RFC 6749, section 4.1; RFC 8252), and for a
//! device elsewhere (RFC 8628).
//!
//! A page takes a name and a password and needs no script. What it sends is taken only with the cookie that came with
//! the page, so that no other site can send it for somebody (RFC 9700, section 4.7).

use axum::extract::{Form, FromRequest as _, Query, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, LOCATION,
    REFERRER_POLICY, SET_COOKIE, X_FRAME_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::identity::Fields;
use crate::sign_ins::Code;
use crate::{Api, Call};

impl Api {
    /// Shows the page for a program, and takes what it sends.
    pub(crate) async fn authorize(&self, tenant: Option<Uuid>, call: &Call, request: Request) -> Response {
        let (is_sent, headers) = (request.method() == Method::POST, request.headers().clone());
        let Some(fields) = fields(request).await else { return refused(NO_FORM) };
        if tenant.is_some_and(|tenant| tenant != self.tenant) {
            return refused("There is no such tenant here.");
        }
        let asked = match Asked::of(&fields) {
            Ok(asked) => asked,
            Err(why) => return refused(&why),
        };
        if let Err((error, why)) = asked.check(&fields) {
            return asked.answer(&[("error", error), ("error_description", why)]);
        }
        if !is_sent {
            return page(call, &headers, &asked.page(&fields), StatusCode::OK, "");
        }
        if cookie(&headers) != Some(fields.get("token")) {
            return refused(NO_COOKIE);
        }
        let caller = match self.auth.password(fields.get("username"), fields.get("password")).await {
            Ok(caller) => caller,
            Err(error) => {
                return page(call, &headers, &asked.page(&fields), StatusCode::UNAUTHORIZED, &said(&error));
            }
        };
        let client_info = self.client_info(&caller);
        let nonce = Some(fields.get("nonce").to_owned()).filter(|nonce| !nonce.is_empty());
        let code = Code {
            caller,
            client: asked.client,
            redirect: asked.redirect.clone(),
            challenge: fields.get("code_challenge").to_owned(),
            nonce,
            scope: fields.get("scope").to_owned(),
            made_ms: (self.clock)(),
        };
        let code = self.sign_ins.keep(code);
        asked.answer(&[("code", &code), ("client_info", &client_info)])
    }

    /// Shows the page for a device, and takes what it sends.
    pub(crate) async fn device_login(&self, call: &Call, request: Request) -> Response {
        let (is_sent, headers) = (request.method() == Method::POST, request.headers().clone());
        let Some(fields) = fields(request).await else { return refused(NO_FORM) };
        let page = |status, said: &str| page(call, &headers, &Page::of_device(&fields), status, said);
        if !is_sent {
            return page(StatusCode::OK, "");
        }
        if cookie(&headers) != Some(fields.get("token")) {
            return refused(NO_COOKIE);
        }
        let code = fields.get("user_code");
        match self.auth.password(fields.get("username"), fields.get("password")).await {
            Ok(caller) if self.sign_ins.approve(code, &caller, (self.clock)()) => {
                let text = "<h1>Signed in</h1><p>Your device goes on by itself. You can close this page.</p>";
                html(StatusCode::OK, &auth::random_secret(), text, "")
            }
            Ok(_) => page(
                StatusCode::BAD_REQUEST,
                "No device waits under this code. It may have expired: begin again at the device.",
            ),
            Err(error) => page(StatusCode::UNAUTHORIZED, &said(&error)),
        }
    }
}

fn page(call: &Call, headers: &HeaderMap, page: &Page, status: StatusCode, said: &str) -> Response {
    // Pages in several windows share one cookie.
    let token = cookie(headers).map_or_else(auth::random_secret, str::to_owned);
    let carried = page.hidden.iter().map(|(name, value)| hidden(name, value)).collect::<String>();
    let said = if said.is_empty() { String::new() } else { format!("<p role=alert>{}</p>", escaped(said)) };
    let text = format!(
        "<h1>Sign in to Lazaret</h1><p>{}</p>{said}<form method=post>{carried}{}{}\
         <label>Name <input name=username value=\"{}\" autocomplete=username required></label>\
         <label>Password <input name=password type=password autocomplete=current-password required></label>\
         <button>Sign in</button></form>",
        escaped(&page.why),
        hidden("token", &token),
        page.code,
        escaped(&page.name),
    );
    let policy = format!("; form-action 'self' {}", page.origin);
    let mut response = html(status, &auth::random_secret(), &text, &policy);
    let secure = if call.base.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={token}; Path=/; Max-Age=900; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// What a sign-in page says and carries.
struct Page {
    why: String,
    hidden: Vec<(&'static str, String)>,
    /// The field for a device's code, if it is for one.
    code: String,
    name: String,
    /// Where the browser goes afterwards, if it is elsewhere.
    origin: String,
}

impl Page {
    fn of_device(fields: &Fields) -> Self {
        // Azure's clients put the code into the address.
        let given = [fields.get("user_code"), fields.get("otc")].into_iter().find(|code| !code.is_empty());
        let code = format!(
            "<label>Code <input name=user_code value=\"{}\" autocomplete=off autocapitalize=characters required></label>",
            escaped(given.unwrap_or_default())
        );
        let why = "A device waits for you to sign in with the code that it shows. Go on only if it is yours: whoever has \
                   it acts in your name afterwards.";
        let name = fields.get("username").to_owned();
        Self { why: why.to_owned(), hidden: Vec::new(), code, name, origin: String::new() }
    }
}

/// What a program asked for, as far as it must be right before anything is sent back to it.
struct Asked {
    client: Uuid,
    redirect: String,
    state: String,
    is_posted: bool,
}

impl Asked {
    fn of(fields: &Fields) -> Result<Self, String> {
        let Ok(client) = Uuid::parse_str(fields.get("client_id")) else {
            return Err("The program that sent you here gave no client_id that is a GUID.".to_owned());
        };
        let redirect = fields.get("redirect_uri");
        if !is_loopback(redirect) {
            return Err(
                "The program that sent you here is not on this machine: its redirect_uri must begin with \
                        http://localhost or http://127.0.0.1."
                    .to_owned(),
            );
        }
        let is_posted = fields.get("response_mode") == "form_post";
        Ok(Self { client, redirect: redirect.to_owned(), state: fields.get("state").to_owned(), is_posted })
    }

    /// What else must be right; the program is told what is not.
    fn check(&self, fields: &Fields) -> Result<(), (&'static str, &'static str)> {
        if fields.get("response_type") != "code" {
            return Err(("unsupported_response_type", "The response_type must be 'code'."));
        }
        if !["", "query", "form_post"].contains(&fields.get("response_mode")) {
            return Err(("invalid_request", "The response_mode must be 'query' or 'form_post'."));
        }
        let challenge = fields.get("code_challenge");
        if fields.get("code_challenge_method") != "S256" || challenge.len() != 43 {
            return Err(("invalid_request", "A code_challenge with the method S256 is needed (RFC 7636)."));
        }
        if fields.get("nonce").len().max(fields.get("scope").len()) > KEPT_BYTES_MAX {
            return Err(("invalid_request", "The nonce or the scope is too long."));
        }
        Ok(())
    }

    fn page(&self, fields: &Fields) -> Page {
        let carried = CARRIED.map(|name| (name, fields.get(name).to_owned()));
        let hidden = carried.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let why = format!("A program on this machine ({}) wants to act in your name.", self.client);
        let given =
            [fields.get("username"), fields.get("login_hint")].into_iter().find(|name| !name.is_empty());
        let name = given.unwrap_or_default().to_owned();
        Page { why, hidden, code: String::new(), name, origin: self.origin() }
    }

    /// `http://localhost:PORT`
    fn origin(&self) -> String {
        let rest = self.redirect.strip_prefix("http://").unwrap_or_default();
        format!("http://{}", rest.split(['/', '?']).next().unwrap_or_default())
    }

    /// Sends the browser back to the program.
    fn answer(&self, values: &[(&str, &str)]) -> Response {
        let state = Some(("state", self.state.as_str())).filter(|(_, state)| !state.is_empty());
        let values = values.iter().copied().chain(state);
        if self.is_posted {
            let nonce = auth::random_secret();
            let hidden: String = values.map(|(name, value)| hidden(name, value)).collect();
            let text = format!(
                "<h1>Back to the program</h1><form method=post action=\"{}\">{hidden}<button>Go on</button></form>\
                 <script nonce={nonce}>document.forms[0].submit()</script>",
                escaped(&self.redirect)
            );
            let policy = format!("; script-src 'nonce-{nonce}'; form-action {}", self.origin());
            return html(StatusCode::OK, &nonce, &text, &policy);
        }
        let encoded =
            values.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        let query = encoded.collect::<Vec<_>>().join("&");
        let joint = if self.redirect.contains('?') { '&' } else { '?' };
        match HeaderValue::from_str(&format!("{}{joint}{query}", self.redirect)) {
            Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location), no_store()]).into_response(),
            Err(_) => refused("The program's redirect_uri is not a valid address."),
        }
    }
}

/// A program on the person's own machine (RFC 8252, section 7.3).
fn is_loopback(redirect: &str) -> bool {
    let Some(rest) = redirect.strip_prefix("http://") else { return false };
    let is_plain = redirect.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>#@\\;,".contains(&byte));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix("[::1]") {
        Some(port) => ("[::1]", port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    is_plain
        && is_port
        && redirect.len() <= REDIRECT_BYTES_MAX
        && ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

async fn fields(request: Request) -> Option<Fields> {
    if request.method() == Method::POST {
        return Form::from_request(request, &()).await.ok().map(|Form(form)| Fields(form));
    }
    Query::try_from_uri(request.uri()).ok().map(|Query(query)| Fields(query))
}

/// What an earlier page left with the browser.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let is_ours = |value: &&str| value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value).find(is_ours)
}

fn said(error: &auth::AuthError) -> String {
    match error {
        auth::AuthError::BadCredentials => "The name or the password is wrong.".to_owned(),
        auth::AuthError::ExpiredSecret => "The password has expired: ask for a new one.".to_owned(),
        auth::AuthError::TooManyAttempts { retry_after_s } => {
            format!("Too many failed attempts: wait {retry_after_s} seconds.")
        }
        auth::AuthError::Store(error) => {
            tracing::error!(error = error as &dyn std::error::Error, "a sign-in failed");
            "The server failed; its log says why.".to_owned()
        }
    }
}

fn refused(why: &str) -> Response {
    let text = format!("<h1>No sign-in</h1><p>{}</p>", escaped(why));
    html(StatusCode::BAD_REQUEST, &auth::random_secret(), &text, "")
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=hidden name={name} value=\"{}\">", escaped(value))
}

/// A page. Nothing in it runs or shows but what bears the nonce, and what `policy` allows besides.
fn html(status: StatusCode, nonce: &str, body: &str, policy: &str) -> Response {
    let document = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Lazaret</title><style nonce={nonce}>{STYLE}</style><main>{body}</main></html>"
    );
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'{policy}"
    );
    let mut response = (status, document).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let (name, value) = no_store();
    headers.insert(name, value);
    let policy = HeaderValue::from_str(&policy);
    headers.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or(HeaderValue::from_static("default-src 'none'")));
    response
}

fn no_store() -> (axum::http::HeaderName, HeaderValue) {
    (CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What the page sends on with the password.
const CARRIED: [&str; 9] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];
const COOKIE_NAME: &str = "lazaret_sign_in";
const NO_FORM: &str = "The request does not carry a form.";
const NO_COOKIE: &str =
    "The page was open for too long, or your browser keeps no cookies: go back, load it anew and try again.";
const REDIRECT_BYTES_MAX: usize = 512;
/// Of what is kept while a sign-in is under way.
pub(crate) const KEPT_BYTES_MAX: usize = 1024;
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;background:#f3f5f7;color:#17212b;margin:0}\
    main{max-width:24rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:8px;box-shadow:0 1px 6px #0002}\
    h1{font-size:1.4rem;margin:0 0 1rem}label{display:block;margin:1rem 0}\
    input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.5rem;border:1px solid #8b98a5;border-radius:4px}\
    button{font:inherit;padding:.5rem 1.5rem;border:0;border-radius:4px;background:#0b5cad;color:#fff}\
    [role=alert]{color:#a4262c}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_on_this_machine_are_answered() {
        for good in
            ["http://localhost", "http://localhost:8400/", "http://127.0.0.1:65535/a?b=c", "http://[::1]:9/x"]
        {
            assert!(is_loopback(good), "{good}");
        }
        for bad in [
            "",
            "https://localhost",
            "http://localhost.example.com",
            "http://localhost@example.com/",
            "http://localhost:1@example.com/",
            "http://127.0.0.1.example.com",
            "http://localhost:99999",
            "http://localhost:8400/\" onload=x",
            "http://localhost/\r\nset-cookie: a=b",
            "http://[::1].example.com/",
            "javascript:alert(1)",
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
