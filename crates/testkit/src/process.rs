//! A real server: the binary itself, on ports of its own and a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Client;

/// A running `lazaret serve`. Dropping it kills it.
pub struct Server {
    options: ServerOptions,
    child: Child,
    /// `127.0.0.1:PORT`, plain.
    pub address: String,
    /// `127.0.0.1:PORT`, TLS.
    pub tls_address: String,
    /// From the start to the first line that says so.
    pub ready_after: Duration,
}

/// How to start one.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The binary.
    pub program: PathBuf,
    /// The data folder; whoever made it removes it.
    pub data: PathBuf,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// Where standard error goes, with all that is logged at the level info; `None`: errors alone, to the test's own.
    pub log: Option<PathBuf>,
}

impl ServerOptions {
    /// The binary on a folder, never looking for advisory data by itself.
    #[must_use]
    pub fn new(program: &str, data: &Path) -> Self {
        let arguments = vec!["--feeds-every-hours=0".to_owned()];
        Self { program: program.into(), data: data.to_owned(), arguments, log: None }
    }

    /// Logging to a file at the level info.
    #[must_use]
    pub fn logging_to(mut self, log: &Path) -> Self {
        self.log = Some(log.to_owned());
        self
    }

    /// With one more argument of `serve`.
    #[must_use]
    pub fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If it does not within [`START_MAX`].
    #[must_use]
    pub fn start(options: ServerOptions) -> Self {
        let began = Instant::now();
        let mut child = Command::new(&options.program)
            .arg("serve")
            .args(["--listen=127.0.0.1:0", "--listen-tls=127.0.0.1:0", "--data"])
            .arg(&options.data)
            .args(&options.arguments)
            .env("LAZARET_LOG", if options.log.is_some() { "info" } else { "error" })
            .stdout(Stdio::piped())
            .stderr(
                options
                    .log
                    .as_ref()
                    .map_or_else(Stdio::inherit, |log| std::fs::File::create(log).unwrap().into()),
            )
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let hello = lines.next().expect("it says where it listens").unwrap();
        assert!(began.elapsed() < START_MAX, "it took too long to start");
        let ready_after = began.elapsed();
        // What else it says is read, lest it wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let address_after = |scheme: &str| {
            let rest = hello.split_once(scheme).unwrap_or_else(|| panic!("no {scheme} in {hello:?}")).1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        let (address, tls_address) = (address_after("http://"), address_after("https://"));
        Self { options, child, address, tls_address, ready_after }
    }

    /// Ends it as a power cut would: nothing is flushed, nothing drained.
    #[must_use]
    pub fn kill(mut self) -> ServerOptions {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.options.clone()
    }

    /// Tells it to stop, waits until it has, and returns whether it ended well.
    #[must_use]
    pub fn terminate(mut self) -> bool {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        told.expect("kill runs").success() && self.child.wait().expect("it ends").success()
    }

    /// How it was started.
    #[must_use]
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.options.data
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The administrator's password.
    #[must_use]
    pub fn password(&self) -> String {
        let text = std::fs::read_to_string(self.options.data.join("admin-password")).unwrap();
        text.trim().to_owned()
    }

    /// A client that is the administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.address, "admin", &self.password())
    }

    /// Runs a subcommand on the same data.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.options.program);
        command.args(arguments).arg("--data").arg(&self.options.data);
        command.output().expect("the binary starts")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const START_MAX: Duration = Duration::from_secs(30);
