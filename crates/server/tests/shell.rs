//! What shells, manuals and log collectors get of the program.

use std::process::{Command, Output};

use serde_json::Value;
use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn lazaret(arguments: &[&str]) -> Output {
    Command::new(LAZARET).args(arguments).output().expect("starts")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn the_version_says_what_it_was_built_from() {
    let version = text(&lazaret(&["--version"]).stdout);
    let built = version
        .trim_end()
        .strip_prefix(concat!("lazaret ", env!("CARGO_PKG_VERSION"), " ("))
        .expect(&version);
    let built = built.strip_suffix(')').expect(&version);
    let is_release = built.strip_prefix("commit ").is_some_and(|rest| rest.contains(" of "));
    assert!(
        is_release != cfg!(debug_assertions) && (is_release || built == "development build"),
        "{version}"
    );
}

#[test]
fn bash_completes_commands_and_options() {
    let output = lazaret(&["completion", "bash"]);
    assert!(output.status.success());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("completion.bash");
    std::fs::write(&script, &output.stdout).expect("writes");
    let ask = "source \"$1\"; COMP_WORDS=(lazaret feeds imp); COMP_CWORD=2; _lazaret lazaret imp feeds; echo \"${COMPREPLY[*]}\"";
    let completed =
        Command::new("bash").args(["-c", ask, "bash"]).arg(&script).output().expect("bash starts");
    assert_eq!(text(&completed.stdout).trim(), "import", "{}", text(&completed.stderr));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(text(&lazaret(&["completion", shell]).stdout).contains("lazaret"), "{shell}");
    }
    let wrong = lazaret(&["completion", "tcsh"]);
    assert!(text(&wrong.stderr).contains("bash, elvish, fish, powershell, zsh"), "{}", text(&wrong.stderr));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pages = folder.path().join("man/man1");
    let output = lazaret(&["man", pages.to_str().expect("text")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).expect(name);
    assert!(page("lazaret.1").contains("A private container registry"));
    assert!(page("lazaret-serve.1").contains("min\\-free"));
    assert!(page("lazaret-webhook-create.1").contains("mailto"));
    std::fs::write(folder.path().join("file"), "").expect("writes");
    let refused = lazaret(&["man", folder.path().join("file").to_str().expect("text")]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("the pages cannot be written to"));
}

#[test]
fn a_wrong_log_filter_is_refused_with_a_sentence() {
    let output = Command::new(LAZARET).env("LAZARET_LOG", "a=b=c").arg("serve").output().expect("starts");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("it must be a level"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_logged_as_json_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let options = ServerOptions::new(LAZARET, &folder.path().join("data"))
        .with("--log-requests")
        .with("--log-format=json")
        .logging_to(&log);
    let server = Server::start(options);
    let client = server.client();
    let answer = client.get("/v2/app/tags/list?last=hidden").await.expect("answers");
    assert_eq!(answer.status(), 404);
    assert!(server.terminate());
    let log = std::fs::read_to_string(&log).expect("reads");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let line = lines.iter().find(|line| line["path"] == "/v2/app/tags/list").expect("a line for the request");
    assert_eq!(
        (&line["message"], &line["method"], &line["status"], &line["client"], &line["level"]),
        (&"request".into(), &"GET".into(), &404.into(), &"127.0.0.1".into(), &"INFO".into())
    );
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    assert_eq!(line["principal"], "admin");
    assert!(!log.contains("hidden") && !log.contains(&server_password(&folder)), "no queries and no secrets");
}

fn server_password(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("data/admin-password")).expect("reads").trim().to_owned()
}
