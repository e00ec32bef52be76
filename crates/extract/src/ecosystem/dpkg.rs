//! dpkg's database: stanzas of fields (deb822(5), dpkg(1) "PACKAGE STATES").

use inventory::{Ecosystem, Package, SourcePackage};

use super::{Records, text};

/// Reads `status`, or one file of `status.d`. A stanza without a `Status` (as in `status.d`) is of
/// an installed package; so is one in a state that we do not know.
pub(crate) fn parse(database: &[u8], text_bytes_max: usize) -> Records {
    let mut records = Records::default();
    let mut stanza = Stanza::default();
    for line in database.split(|byte| *byte == b'\n') {
        match line {
            _ if line.trim_ascii().is_empty() => {
                std::mem::take(&mut stanza).end(&mut records, text_bytes_max);
            }
            [b' ' | b'\t', ..] => stanza.is_bad |= !stanza.has_fields,
            _ => stanza.field(line),
        }
    }
    stanza.end(&mut records, text_bytes_max);
    records
}

/// True if a file in `status.d` is about a package at all; others lie there too.
pub(crate) fn names_a_package(file: &[u8]) -> bool {
    file.split(|byte| *byte == b'\n')
        .any(|line| line.get(..FIELD.len()).is_some_and(|start| start.eq_ignore_ascii_case(FIELD)))
}

/// The fields that we need, of one stanza.
#[derive(Default)]
struct Stanza<'a> {
    package: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    has_fields: bool,
    is_bad: bool,
}

impl<'a> Stanza<'a> {
    fn field(&mut self, line: &'a [u8]) {
        self.has_fields = true;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            self.is_bad = true;
            return;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        let slot = match name.len() {
            6 if is(b"status") => &mut self.status,
            6 if is(b"source") => &mut self.source,
            7 if is(b"package") => &mut self.package,
            7 if is(b"version") => &mut self.version,
            12 if is(b"architecture") => &mut self.architecture,
            _ => return,
        };
        self.is_bad |= slot.is_some();
        *slot = Some(value);
    }

    fn end(self, records: &mut Records, text_bytes_max: usize) {
        if !self.has_fields && !self.is_bad {
            return;
        }
        let state = self
            .status
            .map(|status| status.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(2));
        if matches!(state, Some(Some(b"config-files" | b"not-installed"))) {
            return;
        }
        let source = self.source.map(split_source);
        let name = text(self.package, text_bytes_max);
        let version = text(self.version, text_bytes_max);
        let (Some(name), Some(version)) = (name, version) else {
            records.bad += 1;
            return;
        };
        // Without its source a package is taken for its own, and the stanza for bad.
        let source_name = source.map(|(name, _)| text(Some(name), text_bytes_max));
        let source_version = source.and_then(|(_, version)| version).map(|it| text(Some(it), text_bytes_max));
        let is_bad = self.is_bad
            || state == Some(None)
            || name.contains(|it: char| it.is_ascii_whitespace())
            || source_name == Some(None)
            || source_version == Some(None);
        records.bad += u64::from(is_bad);
        let source = SourcePackage {
            name: source_name.flatten().unwrap_or_else(|| name.clone()),
            version: source_version.flatten().unwrap_or_else(|| version.clone()),
        };
        let architecture = text(self.architecture, text_bytes_max).unwrap_or_default();
        records.packages.push(Package { ecosystem: Ecosystem::Deb, name, version, architecture, source });
    }
}

/// `NAME` or `NAME (VERSION)`.
fn split_source(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    match value.iter().position(|byte| *byte == b'(') {
        None => (value, None),
        Some(at) => {
            let version = value[at + 1..].strip_suffix(b")").unwrap_or_default();
            (value[..at].trim_ascii(), Some(version.trim_ascii()))
        }
    }
}

const FIELD: &[u8] = b"package:";

#[cfg(test)]
mod tests {
    use super::*;

    /// `NAME VERSION ARCHITECTURE SOURCE SOURCE-VERSION` a package, then the count of bad records.
    fn check(database: &[u8], packages: &[&str], bad: u64) {
        let records = parse(database, 100);
        let shown: Vec<String> = records
            .packages
            .iter()
            .map(|it| {
                format!(
                    "{} {} {} {} {}",
                    it.name, it.version, it.architecture, it.source.name, it.source.version
                )
            })
            .collect();
        assert_eq!((shown.as_slice(), records.bad), (packages.map_owned().as_slice(), bad));
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for [&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|it| (*it).to_owned()).collect()
        }
    }

    #[test]
    fn a_source_may_have_its_own_name_and_version() {
        let database = b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\n\
            Version: 2.36-9\nDescription: GNU C Library\n Package: not this\n .\n more\n\n\
            Package: busybox\nStatus: install ok installed\nArchitecture: amd64\n\
            Source: busybox-src (1:1.35)\nVersion: 1:1.35+b4\n\nPackage: x\nVersion: 1\n";
        check(
            database,
            &["libc6 2.36-9 amd64 glibc 2.36-9", "busybox 1:1.35+b4 amd64 busybox-src 1:1.35", "x 1  x 1"],
            0,
        );
    }

    #[test]
    fn only_what_is_there_counts() {
        for (state, is_present) in [
            ("installed", true),
            ("half-installed", true),
            ("unpacked", true),
            ("half-configured", true),
            ("triggers-awaited", true),
            ("triggers-pending", true),
            ("what-is-this", true),
            ("config-files", false),
            ("not-installed", false),
        ] {
            let database = format!("Package: x\nStatus: deinstall ok {state}\nVersion: 1\n");
            assert_eq!(parse(database.as_bytes(), 100).packages.len(), usize::from(is_present), "{state}");
        }
    }

    #[test]
    fn one_bad_stanza_does_not_cost_the_others() {
        check(b"Package: a\n\nVersion: 2\n\nPackage: c\nVersion: 3\n\n\n", &["c 3  c 3"], 2);
        check(b"Package: a\nVersion: 1\nno field\n\n continues nothing\n", &["a 1  a 1"], 2);
        check(b"Package: a\nVersion: 1\nVersion: 2\n", &["a 2  a 2"], 1);
        check(b"Package: a\nVersion: 1\nSource: b (1\n", &["a 1  b 1"], 1);
        check(b"Package: a\nVersion: 1\nStatus: ok\n", &["a 1  a 1"], 1);
        check(b"package: caf\xe9\nVERSION: 1\n", &["caf\u{fffd} 1  caf\u{fffd} 1"], 0);
        check(format!("Package: {}\nVersion: 1\n", "a".repeat(101)).as_bytes(), &[], 1);
        check(b"\0\x01\x02 binary", &[], 1);
        check(b"", &[], 0);
    }
}
