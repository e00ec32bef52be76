//! Programs that are written against Azure's SDKs, and what a server holds for them to find.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::{Server, debian, dpkg, image};

/// Debian's tracker with one vulnerability, CVE-2024-1: of high urgency in zlib before 2.0.
const TRACKER: &str = r#"{"zlib":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;

impl Server {
    /// Makes it hold `app/bad:1`, which has CVE-2024-1, and `app/good:1`, which has nothing, both judged.
    ///
    /// # Panics
    /// If one of its commands fails.
    pub async fn hold_bad_and_good(&self) {
        self.import_tracker(TRACKER);
        for (repository, package) in [("app/bad", "zlib"), ("app/good", "bash")] {
            let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
            let made = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
            self.client().push(repository, "1", &made).await.unwrap();
            assert!(self.command(&["scan", &format!("{repository}:1")]).status.success());
        }
    }

    /// Gives it a tracker of this text.
    ///
    /// # Panics
    /// If it does not take it.
    pub fn import_tracker(&self, text: &str) {
        let tracker = self.data().join("tracker.json");
        std::fs::write(&tracker, text).unwrap();
        let output = self.command(&["feeds", "import", tracker.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a Python program as [`run_azure`](Self::run_azure) does.
    ///
    /// # Panics
    /// If there is no such Python.
    pub async fn run_python(&self, python: &Path, script: &str, more: &[&str]) -> Output {
        self.run_azure(Command::new(python).arg(script), more).await
    }

    /// Runs a program against its HTTPS with the arguments BASE TENANT CLIENT SECRET and `more`; the client is the
    /// administrator. The program knows the server's authority.
    ///
    /// # Panics
    /// If there is no such program.
    pub async fn run_azure(&self, program: &mut Command, more: &[&str]) -> Output {
        let endpoints = self.client().json("/metadata/endpoints?api-version=2022-09-01").await;
        let principals = self.command(&["principal", "list", "--format=json"]);
        let principals: Value = serde_json::from_slice(&principals.stdout).unwrap();
        program
            .arg(format!("https://{}", self.tls_address))
            .arg(endpoints["authentication"]["tenant"].as_str().unwrap())
            .arg(principals[0]["id"].as_str().unwrap())
            .arg(self.password())
            .args(more);
        for variable in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            program.env(variable, self.data().join("ca.pem"));
        }
        program.output().unwrap()
    }
}
