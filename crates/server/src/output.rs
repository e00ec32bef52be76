//! Standard output, which may be a pipe to `head`.

use std::io::{self, Write as _};

/// Prints a line. A reader that has seen enough is no failure; an output that cannot be written is.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("lazaret: the output cannot be written: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Prints a line, as `println!` does, without its panic.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

pub(crate) use say;

/// An error with what is beneath it, in one line: for people, and for the log.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    said
}
