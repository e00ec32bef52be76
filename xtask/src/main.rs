//! Chores: `cargo xtask test`, `cargo xtask nightly`, `cargo xtask tidy`, `cargo xtask bench`.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod clients;
mod nightly;
mod tests;
mod tidy;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => tests::test(),
        ["setup"] => tests::set_up(),
        ["test", "--setup"] => tests::set_up().and_then(|()| tests::test()),
        ["nightly", rest @ ..] => nightly::nightly(rest),
        ["tidy"] => tidy::tidy(),
        ["bench", rest @ ..] => bench(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("cargo").args(["build", "--release", "--package", "server", "--package", "bench"]))?;
    run(Command::new("target/release/bench").args(arguments))
}

/// Runs a command to its end; its failure is ours.
fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}").replace('"', "");
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

const USAGE: &str = "usage:
  cargo xtask test           every check and test; names what it leaves out and how to get it
  cargo xtask test --setup   installs what the tests can use first (Debian, as root)
  cargo xtask setup          installs that alone
  cargo xtask nightly [--seeds N] [--minutes M] [--first SEED] [--cases TIMES]
                             the random tests with many seeds (100), each with more cases (4 times as many)
  cargo xtask tidy           the house rules alone
  cargo xtask bench [ARGS]   figures as ratios to a peer or a limit of this machine";
