//! Whose form a payload has, told by how its document begins.

use std::io::{self, BufReader, Read};

/// The forms that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The Debian security tracker's JSON.
    Debian,
    /// Alpine's secdb JSON, one file a branch and repository.
    Alpine,
}

impl Form {
    /// As it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Alpine => "alpine",
        }
    }
}

pub(super) enum Detected {
    Form(Form),
    /// No byte but blanks, or an empty object.
    Nothing,
    Unknown,
}

/// Looks at the first member of the top-level object: an object for Debian (package → flaws), one of a
/// few names for Alpine. Gives the whole document back.
pub(super) fn detect<R: Read>(mut document: R) -> io::Result<(Detected, impl Read + use<R>)> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    document.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let detected = begins_like(head.trim_ascii_start());
    // Parsers ask for single bytes.
    Ok((detected, BufReader::with_capacity(HEAD_BYTES, io::Cursor::new(head).chain(document))))
}

fn begins_like(start: &[u8]) -> Detected {
    let Some(rest) = start.strip_prefix(b"{") else {
        return if start.is_empty() { Detected::Nothing } else { Detected::Unknown };
    };
    let rest = rest.trim_ascii_start();
    if rest.starts_with(b"}") {
        return Detected::Nothing;
    }
    let Some((name, rest)) = rest.strip_prefix(b"\"").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        Some((&rest[..end], rest[end + 1..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start()))
    }) else {
        return Detected::Unknown;
    };
    match rest.first() {
        _ if SECDB_MEMBERS.iter().any(|member| member.as_bytes() == name) => Detected::Form(Form::Alpine),
        Some(b'{') => Detected::Form(Form::Debian),
        _ => Detected::Unknown,
    }
}

const SECDB_MEMBERS: [&str; 6] = ["apkurl", "archs", "distroversion", "packages", "reponame", "urlprefix"];

/// What begins further in is no feed.
const HEAD_BYTES: usize = 64 << 10;
