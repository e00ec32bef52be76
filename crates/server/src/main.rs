//! The binary: settings, composition, subcommands and shutdown; no logic of its own.

mod access_log;
mod audit;
mod audit_command;
mod backup_command;
mod cache_command;
mod cli;
mod cluster_command;
mod data;
mod deleted_command;
mod feeds_command;
mod first_start;
mod fsck_command;
mod gate_command;
mod health;
mod image_command;
mod import_command;
mod listen;
mod local;
mod lock_command;
mod log;
mod output;
mod pace;
mod plan_command;
mod policy_args;
mod principal_command;
mod proof;
mod proxy;
mod query_command;
mod registry_command;
mod retention_command;
mod rule_command;
mod scan_command;
mod secret_command;
mod serve;
mod settings;
mod shell_command;
mod size;
mod space;
mod subscription_command;
mod table;
mod target;
mod tls;
mod token_command;
mod upload_command;
mod usage_command;
mod webhook_command;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::{Cli, Command};
use metastore::Notebook;

/// What a command may fail with: its message is one clear line and says what to do.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // The jailed child is this same program. It must enter its jail before anything else happens.
    if std::env::args_os().nth(1).is_some_and(|word| word == serve::WORKER) {
        sandbox::run_worker(&sandbox::JailLimits::default(), extract::worker);
    }
    sandbox::memory::share_heaps();
    // Whatever this program makes is its user's alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let matches = Cli::command().get_matches();
    let changing = audit::ChangingCommand::of(&matches);
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    let logging = match &command {
        Command::Serve(options) => log::begin("info", options.log_format()),
        _ => log::begin("warn", log::LogFormat::Text),
    };
    if let Err(error) = logging {
        return failed(&*error);
    }
    // One provider in the whole program; a second installation would be our own mistake.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("the cryptographic provider was installed before");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(async {
        let notebook = Notebook::default();
        let outcome = notebook.during(perform(command)).await;
        let altered = notebook.taken();
        // One that fails may have altered something before.
        if let Some(changing) = changing
            && (outcome.is_ok() || !altered.is_empty())
        {
            changing.done(altered).await?;
        }
        outcome
    });
    outcome.unwrap_or_else(|error: Failure| failed(&*error))
}

async fn perform(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(options) => serve::serve(*options).await.map(|()| ExitCode::SUCCESS),
        Command::Image(command) => image_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Scan(arguments) => scan_command::run(arguments).await,
        Command::Cache(command) => cache_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Import(arguments) => import_command::run(arguments).await,
        Command::Feeds(command) => feeds_command::run(command).await,
        Command::Backup(arguments) => backup_command::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Query(arguments) => query_command::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Upload(command) => upload_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Usage(arguments) => usage_command::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Fsck(arguments) => fsck_command::run(arguments).await,
        Command::Gate(command) => gate_command::run(command).await,
        Command::Deleted(command) => deleted_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Lock(command) => lock_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Retention(command) => retention_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Purge(arguments) => retention_command::purge(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Principal(command) => {
            principal_command::principal(command).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Role(command) => principal_command::role(command).await.map(|()| ExitCode::SUCCESS),
        Command::Cluster(command) => cluster_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Registry(command) => registry_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Token(command) => token_command::token(command).await.map(|()| ExitCode::SUCCESS),
        Command::ScopeMap(command) => token_command::scope_map(command).await.map(|()| ExitCode::SUCCESS),
        Command::Rule(command) => rule_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Webhook(command) => webhook_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Audit(arguments) => audit_command::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Subscription(command) => {
            subscription_command::subscription(command).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Group(command) => subscription_command::group(command).await.map(|()| ExitCode::SUCCESS),
        Command::Plan(command) => plan_command::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Completion(arguments) => {
            shell_command::completion(&arguments, Cli::command()).map(|()| ExitCode::SUCCESS)
        }
        Command::Man(arguments) => shell_command::man(&arguments, Cli::command()).map(|()| ExitCode::SUCCESS),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    output::aside(format_args!("{}", output::causes(error)));
    ExitCode::FAILURE
}

/// The time, in milliseconds since 1970 (UTC): the one place that reads the clock.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
