//! Requests as they stand on the wire: which host they are for, and bodies that come late.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream
}

/// One answer with its body, by its length.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    stream.read_exact(&mut body).expect("a body");
    head + &String::from_utf8_lossy(&body)
}

fn ask(server: &Server, request: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).expect("sends");
    answer(&mut stream)
}

#[test]
fn a_request_has_one_host_and_the_target_wins() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    for (path, member) in [("/v2/", "\"errors\""), ("/token", "\"errors\""), ("/subscriptions", "\"error\"")]
    {
        for (hosts, why) in [
            ("", "no host header"),
            ("Host: a\r\nHost: a\r\n", "two host headers"),
            ("Host:\r\n", "no host header"),
        ] {
            let refused = ask(&server, &format!("GET {path} HTTP/1.1\r\n{hosts}\r\n"));
            assert!(refused.starts_with("http/1.1 400 "), "{path} {hosts:?}: {refused}");
            assert!(
                refused.contains(member) && refused.to_lowercase().contains(why),
                "{path} {hosts:?}: {refused}"
            );
        }
    }
    let challenge = ask(&server, "GET http://named.example:81/v2/ HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert!(challenge.contains("realm=\"http://named.example:81/token\""), "{challenge}");
    let arm = ask(
        &server,
        "GET http://named.example:81/subscriptions?api-version=2022-12-01 HTTP/1.1\r\nHost: other.example\r\n\r\n",
    );
    assert!(arm.contains("named.example:81") && !arm.contains("other.example"), "{arm}");
}

#[test]
fn a_body_that_comes_after_its_answer_was_decided_breaks_no_connection() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let secret = STANDARD.encode(format!("admin:{}", server.password()));
    let arm = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/x?api-version=2022-12-01";
    for (method, path, status) in [
        ("PUT", arm, "40"),
        ("POST", "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01", "40"),
        ("PUT", "/v2/app/manifests/1", "40"),
        ("POST", "/admission/v1/prod", "40"),
        ("PUT", "/nowhere", "40"),
        ("DELETE", "/oauth2/token", "40"),
        ("POST", "/livez", "405"),
        ("POST", "/", "405"),
        // What needs no body succeeds all the same.
        ("GET", "/livez", "200"),
        ("POST", "/v2/app/blobs/uploads/", "202"),
        ("OPTIONS", "/v2/app/manifests/1", "204"),
        ("GET", "/v2/", "200"),
        ("GET", "/v2/_catalog", "200"),
    ] {
        let mut stream = connect(&server);
        stream.set_nodelay(true).expect("is set");
        let secret = if status.starts_with('2') {
            format!("Authorization: Basic {secret}\r\n")
        } else {
            String::new()
        };
        for _ in 0..3 {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{secret}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).expect("sends");
            // So that the answer is decided when the body comes, as it is for clients that are far away.
            std::thread::sleep(Duration::from_millis(15));
            stream
                .write_all(b"{\"a\":\"0123456789ab\"}")
                .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let answered = answer(&mut stream);
            assert!(answered.starts_with(&format!("http/1.1 {status}")), "{method} {path}: {answered}");
        }
    }
}

#[test]
fn what_a_framework_would_refuse_is_refused_in_the_doors_own_form() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    for (request, status, said) in [
        ("POST /admission/v1/%ff", "401", "\"error\""),
        ("POST /admission/v1/a/%ff", "401", "\"error\""),
        ("PUT /clusters/v1/%ff/running", "401", "\"error\""),
        ("GET /admission/v1/prod", "405", "\"error\""),
        ("POST /clusters/v1/a/running", "405", "\"error\""),
        ("DELETE /readyz", "405", "only get and head are answered here"),
        ("OPTIONS /subscriptions?api-version=2022-12-01", "405", "allow: get"),
        ("PUT /metadata/endpoints?api-version=2022-09-01", "405", "allow: get"),
    ] {
        let refused =
            ask(&server, &format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        assert!(refused.starts_with(&format!("http/1.1 {status}")), "{request}: {refused}");
        assert!(refused.to_lowercase().contains(said), "{request}: {refused}");
        assert!(status != "405" || refused.contains("allow: "), "{request}: {refused}");
    }
}
