//! Deliveries to real receivers: willing, slow, dead, redirecting, broken, gone, endless and out of reach.

mod house;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Reach;
use metastore::{DeliveryState, EventForm, WebhookChange};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use house::{House, NOW_MS, Receiver, SECRET};

const HOUR_MS: i64 = 3_600_000;

fn ok() -> Response {
    StatusCode::OK.into_response()
}

#[tokio::test]
async fn an_event_arrives_signed_in_the_form_that_was_asked_for() {
    let house = House::new().await;
    let mut receiver = Receiver::start(|| (StatusCode::ACCEPTED, "thanks").into_response()).await;
    let headers: BTreeMap<_, _> = [("Authorization".to_owned(), "Bearer hidden".to_owned())].into();
    let change = WebhookChange { headers: Some(headers), ..WebhookChange::default() };
    let acr = house.webhook("acrform", &format!("{}?code=hidden", receiver.uri), change).await;
    house.push("v1").await;
    house.dispatcher().settle().await.unwrap();
    let got = receiver.next().await;
    assert_eq!((got.path.as_str(), got.header("authorization")), ("/hook?code=hidden", "Bearer hidden"));
    assert_eq!(got.header("content-type"), "application/json; charset=utf-8");
    let payload = got.json();
    assert_eq!(payload["action"], "push");
    assert_eq!(payload["target"]["repository"], "app");
    assert_eq!(payload["target"]["tag"], "v1");
    assert_eq!(payload["request"]["host"], "lazaret.example");
    // As any library of the standard verifies it.
    assert_eq!(got.header("webhook-id"), payload["id"]);
    assert_eq!(got.header("webhook-timestamp"), (NOW_MS / 1000).to_string());
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    let signed = format!("{}.{}.", got.header("webhook-id"), got.header("webhook-timestamp"));
    let signed = [signed.as_bytes(), &got.body].concat();
    let tag = STANDARD.decode(got.header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    assert!(hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed, &tag).is_ok());
    // The log says all but the secrets.
    let log = house.log(&acr).await;
    assert_eq!((log.len(), log[0].state, log[0].attempts), (1, DeliveryState::Delivered, 1));
    let (request, response) = (log[0].request.clone().unwrap(), log[0].response.clone().unwrap());
    assert!(!request.to_string().contains("hidden"), "{request}");
    assert_eq!(request["headers"]["authorization"], "***");
    assert_eq!(request["requestUri"], format!("{}?***", receiver.uri));
    assert_eq!(
        (response["statusCode"].as_str(), response["content"].as_str()),
        (Some("202"), Some("thanks"))
    );

    let change = WebhookChange { form: Some(EventForm::CloudEvents), ..WebhookChange::default() };
    let name = "cloudform";
    house.webhook(name, &receiver.uri, change).await;
    house.store.ping_webhook(&house.registry, name, NOW_MS).await.unwrap().unwrap();
    house.dispatcher().settle().await.unwrap();
    let got = receiver.next().await;
    assert_eq!(got.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(got.json()["type"], "lazaret.webhook.ping");
}

#[tokio::test]
async fn a_broken_receiver_is_tried_for_a_day_and_each_time_with_the_same_id() {
    let house = House::new().await;
    let mut receiver = Receiver::start(|| StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;
    let hook = house.webhook("broken", &receiver.uri, WebhookChange::default()).await;
    house.push("v1").await;
    let dispatcher = house.dispatcher();
    let mut ids = std::collections::BTreeSet::new();
    let mut attempts = 0;
    while house.store.waiting_deliveries(hook.id).await.unwrap() > 0 {
        dispatcher.settle().await.unwrap();
        if !receiver.is_empty() {
            attempts += 1;
            ids.insert(receiver.next().await.header("webhook-id").to_owned());
        }
        house.turn_to(house.now_ms() + 60_000);
        assert!(house.now_ms() < NOW_MS + 48 * HOUR_MS, "it is never given up");
    }
    assert_eq!(ids.len(), 1, "one event");
    // 5 s, 10 s, … 1 h, and from there every hour or so.
    assert!((25..45).contains(&attempts), "{attempts} attempts");
    let log = house.log(&hook).await;
    assert_eq!(log[0].state, DeliveryState::Dead);
    assert_eq!(log[0].reason.as_deref(), Some("the receiver answered 500 Internal Server Error"));
    assert!(house.now_ms() > NOW_MS + 22 * HOUR_MS);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let house = House::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let mut receiver = Receiver::start(move || match calls.fetch_add(1, Ordering::SeqCst) {
        0 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "600")]).into_response(),
        _ => ok(),
    })
    .await;
    let hook = house.webhook("busyone", &receiver.uri, WebhookChange::default()).await;
    house.push("v1").await;
    let dispatcher = house.dispatcher();
    dispatcher.settle().await.unwrap();
    let first = receiver.next().await;
    house.turn_to(NOW_MS + 599_000);
    dispatcher.settle().await.unwrap();
    assert!(receiver.is_empty(), "ten minutes were asked for");
    house.turn_to(NOW_MS + 600_000);
    dispatcher.settle().await.unwrap();
    let second = receiver.next().await;
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
    assert_ne!(second.header("webhook-signature"), first.header("webhook-signature"), "signed anew");
    let log = house.log(&hook).await;
    assert_eq!(
        (log[0].state, log[0].attempts, log[0].reason.as_deref()),
        (DeliveryState::Delivered, 2, None)
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let house = House::new().await;
    let elsewhere = Receiver::start(ok).await;
    let to = elsewhere.uri.clone();
    let mut receiver =
        Receiver::start(move || (StatusCode::TEMPORARY_REDIRECT, [("location", to.clone())]).into_response())
            .await;
    let hook = house.webhook("moved", &receiver.uri, WebhookChange::default()).await;
    house.push("v1").await;
    house.dispatcher().settle().await.unwrap();
    receiver.next().await;
    assert!(elsewhere.is_empty());
    let log = house.log(&hook).await;
    let reason = log[0].reason.clone().unwrap();
    assert!(reason.contains("redirects (307)") && reason.contains(&elsewhere.uri), "{reason}");
    assert_eq!(log[0].state, DeliveryState::Waiting);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let house = House::new().await;
    let mut receiver = Receiver::start(|| StatusCode::GONE.into_response()).await;
    let hook = house.webhook("gonehook", &receiver.uri, WebhookChange::default()).await;
    house.push("v1").await;
    house.push("v2").await;
    house.dispatcher().settle().await.unwrap();
    receiver.next().await;
    let found = house.store.webhook(house.registry.id, "gonehook").await.unwrap().unwrap();
    assert!(!found.is_enabled);
    assert_eq!(found.disabled_because.as_deref(), Some("the receiver says that it is gone (410)"));
    house.push("v3").await;
    assert_eq!(house.store.waiting_deliveries(hook.id).await.unwrap(), 0);
}

#[tokio::test]
async fn a_dead_and_a_silent_receiver_hold_up_nobody() {
    let house = House::new().await;
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_uri = format!("http://{}/", silent.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = silent.accept().await {
            held.push(tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await }));
        }
    });
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_uri = format!("http://{}/", dead.local_addr().unwrap());
    drop(dead);
    let mut willing = Receiver::start(ok).await;
    let silent = house.webhook("silent", &silent_uri, WebhookChange::default()).await;
    let dead = house.webhook("deadone", &dead_uri, WebhookChange::default()).await;
    house.webhook("willing", &willing.uri, WebhookChange::default()).await;
    for number in 0..40 {
        house.push(&format!("v{number}")).await;
    }
    let (dispatcher, stop) = (house.dispatcher(), CancellationToken::new());
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { dispatcher.run(stop).await }
    });
    let mut tags = std::collections::BTreeSet::new();
    for _ in 0..40 {
        tags.insert(willing.next().await.json()["target"]["tag"].to_string());
    }
    assert_eq!(tags.len(), 40);
    // The silent one was still in its first attempts: they take as long as they may.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while house.log(&silent).await.is_empty() || house.log(&dead).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "their failures are written down");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        house.log(&silent).await[0].reason.as_deref().map(|reason| &reason[..24]),
        Some("the receiver is too slow")
    );
    let reason = house.log(&dead).await[0].reason.clone().unwrap();
    assert!(reason.starts_with("the receiver cannot be reached"), "{reason}");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_endless_answer_is_read_to_its_limit() {
    let house = House::new().await;
    let endless = || {
        let pieces = tokio_util::io::ReaderStream::new(tokio::io::repeat(b'x'));
        Body::from_stream(pieces).into_response()
    };
    let mut receiver = Receiver::start(endless).await;
    let hook = house.webhook("endless", &receiver.uri, WebhookChange::default()).await;
    house.push("v1").await;
    house.dispatcher().settle().await.unwrap();
    receiver.next().await;
    let log = house.log(&hook).await;
    assert_eq!(log[0].state, DeliveryState::Delivered);
    let response = log[0].response.clone().unwrap();
    assert_eq!(response["content"].as_str().unwrap().len(), 4096);
    assert_eq!(response["isCutShort"], true);
}

#[tokio::test]
async fn nothing_is_sent_to_this_machine_or_to_metadata_unless_it_may_be() {
    let house = House::new().await;
    let receiver = Receiver::start(ok).await;
    let port = receiver.uri.rsplit(':').next().unwrap().to_owned();
    for (name, uri, wanted) in [
        ("literal", receiver.uri.clone(), "--webhook-loopback"),
        ("resolved", format!("http://localhost:{port}"), "--webhook-loopback"),
        ("mapped", format!("http://[::ffff:127.0.0.1]:{port}"), "--webhook-loopback"),
        ("decimal", format!("http://2130706433:{port}"), "--webhook-loopback"),
        ("metadata", "http://169.254.169.254/latest/meta-data/".to_owned(), "secrets"),
    ] {
        let hook = house.webhook(name, &uri, WebhookChange::default()).await;
        house.store.ping_webhook(&house.registry, name, NOW_MS).await.unwrap().unwrap();
        house.dispatcher_with(Reach::default(), b"").settle().await.unwrap();
        let log = house.log(&hook).await;
        let reason = log[0].reason.clone().unwrap();
        assert!(reason.starts_with("nothing is sent there: ") && reason.contains(wanted), "{name}: {reason}");
        assert_eq!((log[0].state, &log[0].response), (DeliveryState::Dead, &None), "{name}");
    }
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn a_certificate_must_be_of_an_authority_that_is_trusted() {
    let house = House::new().await;
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::AsyncWriteExt as _;
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                drop(stream.read(&mut [0; 4096]).await);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
                drop(stream.shutdown().await);
            });
        }
    });
    let hook = house.webhook("tlshook", &uri, WebhookChange::default()).await;
    let reach = Reach { loopback: true };
    for (authorities, wanted) in
        [(String::new(), DeliveryState::Dead), (made.cert.pem(), DeliveryState::Delivered)]
    {
        house.store.ping_webhook(&house.registry, "tlshook", NOW_MS).await.unwrap().unwrap();
        house.dispatcher_with(reach, authorities.as_bytes()).settle().await.unwrap();
        let log = house.log(&hook).await;
        assert_eq!(log[0].state, wanted, "{:?}", log[0].reason);
        if wanted == DeliveryState::Dead {
            let reason = log[0].reason.clone().unwrap();
            assert!(reason.contains("certificate"), "{reason}");
        }
    }
}

/// A mail relay that takes one connection after the other, and tells the commands and mails that it is sent.
/// It refuses recipients whose name begins with "no".
async fn relay() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("works");
    let url = format!("smtp://{}", listener.local_addr().expect("works"));
    let (sender, got) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 relay.example\r\n").await.expect("works");
            let mut mail: Option<String> = None;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                let answer = match (&mut mail, line.trim_end()) {
                    (Some(text), ".") => {
                        sender.send(std::mem::take(text)).expect("works");
                        mail = None;
                        "250 taken\r\n"
                    }
                    (Some(text), _) => {
                        text.push_str(&line);
                        continue;
                    }
                    (None, "DATA") => {
                        mail = Some(String::new());
                        "354 go on\r\n"
                    }
                    (None, command) if command.starts_with("RCPT TO:<no") => "550 no such mailbox\r\n",
                    (None, command) => {
                        sender.send(command.to_owned()).expect("works");
                        "250 fine\r\n"
                    }
                };
                stream.write_all(answer.as_bytes()).await.expect("works");
            }
        }
    });
    (url, got)
}

#[tokio::test]
async fn a_webhook_with_a_mail_address_sends_plain_text_by_the_operators_relay() {
    let house = House::new().await;
    let (url, mut got) = relay().await;
    let hook =
        house.webhook("mailed", "mailto:sec@example.com,ops@example.com", WebhookChange::default()).await;
    house.push("v1").await;
    let without = house.dispatcher();
    without.settle().await.unwrap();
    let log = house.log(&hook).await;
    assert_eq!(log[0].state, DeliveryState::Waiting);
    assert!(log[0].reason.as_deref().unwrap().contains("--smtp-url"), "{:?}", log[0].reason);

    house.turn_to(NOW_MS + HOUR_MS);
    let mailer =
        events::Mailer::new(&url, "Lazaret <lazaret@example.com>", std::time::Duration::from_secs(5));
    let with = house.dispatcher_mailing(Some(mailer.unwrap()));
    with.settle().await.unwrap();
    assert_eq!(house.log(&hook).await[0].state, DeliveryState::Delivered);
    let mut commands = Vec::new();
    let mail = loop {
        let next = got.recv().await.unwrap();
        if next.contains("\r\n") {
            break next;
        }
        commands.push(next);
    };
    assert!(
        commands.iter().any(|command| command.starts_with("MAIL FROM:<lazaret@example.com>")),
        "{commands:?}"
    );
    let to: Vec<_> = commands.iter().filter_map(|command| command.strip_prefix("RCPT TO:")).collect();
    assert_eq!(to, ["<sec@example.com>", "<ops@example.com>"]);
    let id = house.log(&hook).await[0].event.id;
    for line in [
        "Subject: [Lazaret] app:v1 was pushed\r\n".to_owned(),
        format!("Message-ID: <{id}@example.com>\r\n"),
        "Registry: lazaret\r\n".to_owned(),
    ] {
        assert!(mail.contains(&line), "{line:?} is not in {mail}");
    }

    let refused = house.webhook("refused", "mailto:nowhere@example.com", WebhookChange::default()).await;
    house.push("v2").await;
    with.settle().await.unwrap();
    let log = house.log(&refused).await;
    assert_eq!(log[0].reason.as_deref(), Some("the mail relay refuses the mail: no such mailbox"));
}

#[test]
fn mail_addresses_and_relays_are_checked_where_they_are_set() {
    let check = |uri: &str| events::check::service_uri(uri).map_err(|error| error.to_string());
    assert_eq!(check("mailto:a@example.com, b@example.com"), Ok(()));
    for wrong in ["mailto:", "mailto:a", "mailto:a@example.com?cc=b@example.com", "mailto:a@example.com,"] {
        assert!(check(wrong).unwrap_err().contains("mailto:security@example.com"), "{wrong}");
    }
    let many = vec!["a@example.com"; 21].join(",");
    assert!(check(&format!("mailto:{many}")).unwrap_err().contains("more than 20"));
    let mailer =
        |relay: &str, from: &str| events::Mailer::new(relay, from, std::time::Duration::from_secs(1));
    assert!(mailer("smtp://mail.example:587?tls=required", "a@example.com").is_ok());
    assert!(mailer("mail.example:587", "a@example.com").is_err());
    assert!(mailer("smtp://mail.example", "a").is_err());
}
