//! `lazaret completion` and `lazaret man`: what shells and `man` read of the command line.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::Failure;
use crate::output::say;

#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell that is to complete commands and options.
    shell: Shell,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder to write the pages to, one for each command; it is made if it is not there.
    folder: PathBuf,
}

/// Prints the shell's script.
pub(crate) fn completion(arguments: &CompletionArgs, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "lazaret", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes `lazaret.1`, `lazaret-serve.1` and so on.
pub(crate) fn man(arguments: &ManArgs, command: Command) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| format!("the pages cannot be written to {}: {error}", folder.display()))?;
    say!(
        "wrote the manual pages to {}: read them with `man -l {}`",
        folder.display(),
        folder.join("lazaret.1").display()
    );
    Ok(())
}
