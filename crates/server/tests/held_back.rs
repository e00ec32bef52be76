//! Clients that hold their requests back, or hang up on them: what is done is done with the rights of that moment, and is
//! in the audit log.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use oci::Digest;
use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn run(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A request of which half of the body was sent.
struct Held {
    what: &'static str,
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Held {
    fn send(server: &Server, what: &'static str, line: &str, headers: &str, body: &[u8]) -> Self {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {length}\r\n\r\n",
            server.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let (first, rest) = body.split_at(length / 2);
        stream.write_all(first).unwrap();
        Self { what, stream, rest: rest.to_vec() }
    }

    /// The status of the answer, once the rest is sent.
    fn finish(mut self) -> (&'static str, u16) {
        self.stream.write_all(&self.rest).unwrap();
        let mut head = [0; 12];
        self.stream.read_exact(&mut head).unwrap();
        (self.what, String::from_utf8_lossy(&head[9..]).parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_held_back_carries_no_right_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let admin = server.client();
    let registry = admin.registry_id(&admin.arm_token().await).await;
    let puppet = run(&server, &["principal", "create", "puppet", "--role=AcrPull"]);
    let puppet = puppet.lines().find_map(|line| line.strip_prefix("id")).unwrap().trim().to_owned();
    for is_kept in [false, true] {
        let made = run(&server, &["principal", "create", "owner", "--role=Owner", "--scope=/"]);
        let secret = made.lines().find(|line| line.starts_with("secret")).unwrap();
        let client = Client::new(&server.address, "owner", secret.split_whitespace().nth(1).unwrap());
        let pushed = image().layer(&[("kept", if is_kept { "1" } else { "0" })]);
        client.push_blob("app", &pushed.config()).await.unwrap();
        for layer in pushed.layers() {
            client.push_blob("app", layer).await.unwrap();
        }
        let token = client.arm_token().await;
        let pull = client.registry_token("app").await;
        let (arm, door) = (
            format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"),
            format!("Authorization: Bearer {pull}\r\n"),
        );
        let assignment = json!({ "properties": {
            "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "principalId": puppet,
        } });
        let id = format!(
            "{registry}/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-55555555555{}",
            u8::from(is_kept)
        );
        let blob = if is_kept { b"another blob".as_slice() } else { b"a blob that comes late" };
        let held = [
            Held::send(
                &server,
                "a role",
                &format!("PUT {id}?api-version=2022-04-01"),
                &arm,
                assignment.to_string().as_bytes(),
            ),
            Held::send(
                &server,
                "a secret",
                &format!("POST /v1.0/servicePrincipals/{puppet}/addPassword"),
                &arm,
                br#"{"passwordCredential":{"displayName":"late"}}"#,
            ),
            Held::send(
                &server,
                "a query",
                "POST /providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01",
                &arm,
                br#"{"query":"resources"}"#,
            ),
            Held::send(
                &server,
                "a manifest",
                "PUT /v2/app/manifests/late",
                &format!("{door}Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"),
                &pushed.manifest(),
            ),
            Held::send(
                &server,
                "a blob",
                &format!("POST /v2/app/blobs/uploads/?digest={}", Digest::sha256(blob)),
                &door,
                blob,
            ),
        ];
        if !is_kept {
            run(&server, &["principal", "delete", "owner"]);
        }
        // Longer than what is read of a principal is kept.
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(2_500)
            || !is_kept
                && client.with_token(&token, "/subscriptions?api-version=2022-12-01").await.unwrap().status()
                    != 401
        {
            assert!(began.elapsed() < Duration::from_secs(30), "a right that was taken away is still there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (what, status) in held.map(Held::finish) {
            assert_eq!((200..300).contains(&status), is_kept, "{what}: {status}");
        }
        let there = admin.get("/v2/app/manifests/late").await.unwrap().status();
        assert_eq!(there == 200, is_kept, "{there}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_client_hangs_up_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let admin = server.client();
    let token = admin.arm_token().await;
    let subscription = admin.registry_id(&token).await.split("/resourceGroups/").next().unwrap().to_owned();
    for number in 0..80_u64 {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let body = r#"{"location":"local"}"#;
        let request = format!(
            "PUT {subscription}/resourceGroups/g{number}?api-version=2022-09-01 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer \
             {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(number * 53 % 4_000));
        // What was not read makes the close a reset.
        drop(stream);
    }
    let began = Instant::now();
    loop {
        let groups: Vec<Value> =
            serde_json::from_str(&run(&server, &["group", "list", "--format=json"])).unwrap();
        let made = groups.iter().filter(|group| group["name"].as_str().unwrap().starts_with('g')).count();
        let log: Vec<Value> =
            serde_json::from_str(&run(&server, &["audit", "--format=json", "--limit=1000"])).unwrap();
        let logged =
            log.iter().filter(|entry| entry["scope"].as_str().unwrap().contains("/resourceGroups/g")).count();
        if made > 0 && made == logged && began.elapsed() > Duration::from_secs(1) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{made} groups were made, {logged} are in the log"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
