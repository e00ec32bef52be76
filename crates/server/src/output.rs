//! Standard output, which may be a pipe to `head`, and standard error.
//!
//! Much of what is printed was written by strangers: names, versions, commands, paths in images. All of it goes
//! through [`visible`], here and nowhere else.

use std::borrow::Cow;
use std::io::{self, Write as _};

/// Prints a line. A reader that has seen enough is no failure; an output that cannot be written is.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    match writeln!(io::stdout().lock(), "{}", visible(&text.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("lazaret: the output cannot be written: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Prints a line for people to standard error.
pub(crate) fn aside(text: std::fmt::Arguments<'_>) {
    eprintln!("lazaret: {}", visible(&text.to_string()));
}

/// The text with what a terminal would obey, or show in another order than it stands, written as an escape
/// (`\u001b`): the same that JSON has for it, so that a document stays one and means the same.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(character: char) -> bool {
    match character {
        // Lines and columns are our own.
        '\n' | '\t' => false,
        // Marks, embeddings, overrides and isolates of direction (UAX #9), and separators of lines.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // What has no width and joins nothing: soft hyphens, empty spaces, tags.
        '\u{ad}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        // C0, DEL and C1.
        character => character.is_control(),
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

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_text() {
        for (text, shown) in [
            ("plain, é, 漢字, \u{1f469}\u{200d}\u{1f52c}", "plain, é, 漢字, \u{1f469}\u{200d}\u{1f52c}"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("\u{1b}[2J\u{7}\r\u{8}", "\\u001b[2J\\u0007\\u000d\\u0008"),
            ("\u{9b}31m\u{7f}", "\\u009b31m\\u007f"),
            ("a\u{202e}txt.exe\u{202c}\u{2067}b", "a\\u202etxt.exe\\u202c\\u2067b"),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn a_document_stays_the_same_document() {
        let document = serde_json::json!({ "a\u{202e}": "\u{1b}\u{9b}\u{e0041}\u{feff}" });
        let printed = serde_json::to_string_pretty(&document).expect("a document");
        let read: serde_json::Value = serde_json::from_str(&visible(&printed)).expect("a document");
        assert_eq!(read, document);
    }
}
