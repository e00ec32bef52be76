//! Release files: what the image says it is.

use inventory::{Distro, Release};

/// Reads a release file; `None` if it says nothing.
pub(crate) fn parse(release: Release, file: &[u8], text_bytes_max: usize) -> Option<Distro> {
    let file = String::from_utf8_lossy(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    let first_line = || {
        let line = file.lines().next().unwrap_or_default().trim();
        (!line.is_empty() && line.len() <= text_bytes_max).then(|| line.to_owned())
    };
    match release {
        Release::OsRelease => os_release(&file, text_bytes_max),
        Release::Alpine => {
            Some(Distro { id: "alpine".to_owned(), version_id: Some(first_line()?), ..Distro::default() })
        }
        // `12.5`, of which os-release would say `12`; or `trixie/sid`, which is no version.
        Release::Debian => {
            let line = first_line()?;
            let major: String = line.chars().take_while(char::is_ascii_digit).collect();
            let version_id = (!major.is_empty()).then_some(major);
            Some(Distro { id: "debian".to_owned(), version_id, ..Distro::default() })
        }
    }
}

/// os-release(5): assignments that a shell would understand. The last one of a key wins. Without
/// an `ID` it is `linux`, says the page.
fn os_release(file: &str, text_bytes_max: usize) -> Option<Distro> {
    let mut distro = Distro::default();
    let mut has_any = false;
    for line in file.lines() {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let is_key = |it: char| it.is_ascii_alphanumeric() || it == '_';
        if key.is_empty() || !key.chars().all(is_key) {
            continue;
        }
        has_any = true;
        if value.len() > text_bytes_max {
            continue;
        }
        let value = || Some(unquoted(value)).filter(|value| !value.is_empty());
        match key {
            "ID" => distro.id = value().unwrap_or_default(),
            "VERSION_ID" => distro.version_id = value(),
            "VERSION_CODENAME" => distro.codename = value(),
            "PRETTY_NAME" => distro.pretty_name = value(),
            _ => {}
        }
    }
    if distro.id.is_empty() {
        "linux".clone_into(&mut distro.id);
    }
    has_any.then_some(distro)
}

/// One word as a shell reads it, without expansions.
fn unquoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut quote = None;
    let mut characters = word.chars();
    while let Some(it) = characters.next() {
        match (quote, it) {
            (None, '"' | '\'') => quote = Some(it),
            (Some(open), _) if open == it => quote = None,
            (None, '\\') => text.extend(characters.next()),
            (Some('"'), '\\') => match characters.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            (None, _) if it.is_whitespace() => break,
            _ => text.push(it),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(release: Release, file: &str) -> Option<(String, String)> {
        parse(release, file.as_bytes(), 100)
            .map(|it| (it.id, it.version_id.unwrap_or_else(|| "-".to_owned())))
    }

    #[test]
    fn shells_and_we_read_the_same() {
        let os = |file: &str| read(Release::OsRelease, file);
        let is = |id: &str, version: &str| Some((id.to_owned(), version.to_owned()));
        assert_eq!(os("ID=debian\nVERSION_ID=\"12\"\n"), is("debian", "12"));
        assert_eq!(os("\u{feff}ID='alpine'\r\nVERSION_ID=3.22.1\r\n"), is("alpine", "3.22.1"));
        assert_eq!(os("ID=a\n# ID=b\nID=c # d\n ID = e\n"), is("c", "-"));
        assert_eq!(os("ID=\"a\\\"b\\n\"'c d'\\e\n"), is("a\"b\\nc de", "-"));
        assert_eq!(os("NAME=x\n"), is("linux", "-"));
        assert_eq!(os("VERSION_ID=1\nVERSION_ID=\nID=x"), is("x", "-"));
        assert_eq!(os("\0\x01garbage\n"), None);
        assert_eq!(os(""), None);
    }

    #[test]
    fn the_distributions_own_files_are_one_line() {
        assert_eq!(read(Release::Alpine, "3.22.1\n"), Some(("alpine".to_owned(), "3.22.1".to_owned())));
        assert_eq!(read(Release::Debian, "11.0\n"), Some(("debian".to_owned(), "11".to_owned())));
        assert_eq!(read(Release::Debian, "trixie/sid\n"), Some(("debian".to_owned(), "-".to_owned())));
        assert_eq!(read(Release::Alpine, "\n"), None);
    }
}
