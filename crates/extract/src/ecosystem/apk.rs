//! apk's database: records of `X:value` lines, ended by a blank one (apk-package(5), apk.git
//! `doc/apk-v2.5.scd`). Case matters: `P` names the package, `p` what it provides.

use inventory::{Ecosystem, Package, SourcePackage};

use super::{Records, text};

/// Reads `installed`.
pub(crate) fn parse(database: &[u8], text_bytes_max: usize) -> Records {
    let mut records = Records::default();
    let mut record = Record::default();
    for line in database.split(|byte| *byte == b'\n') {
        match line {
            [] => std::mem::take(&mut record).end(&mut records, text_bytes_max),
            [letter, b':', value @ ..] => record.field(*letter, value.trim_ascii()),
            _ => record.is_bad = true,
        }
    }
    record.end(&mut records, text_bytes_max);
    records
}

#[derive(Default)]
struct Record<'a> {
    name: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    has_fields: bool,
    is_bad: bool,
}

impl<'a> Record<'a> {
    fn field(&mut self, letter: u8, value: &'a [u8]) {
        self.has_fields = true;
        let slot = match letter {
            b'P' => &mut self.name,
            b'V' => &mut self.version,
            b'A' => &mut self.architecture,
            b'o' => &mut self.origin,
            _ => return,
        };
        self.is_bad |= slot.is_some();
        *slot = Some(value);
    }

    fn end(self, records: &mut Records, text_bytes_max: usize) {
        if !self.has_fields && !self.is_bad {
            return;
        }
        let name = text(self.name, text_bytes_max);
        let version = text(self.version, text_bytes_max);
        let (Some(name), Some(version)) = (name, version) else {
            records.bad += 1;
            return;
        };
        let origin = text(self.origin, text_bytes_max);
        // An empty origin is none; one that is too long is not ours to guess.
        let is_bad = self.is_bad || (origin.is_none() && self.origin.is_some_and(|it| !it.is_empty()));
        records.bad += u64::from(is_bad);
        let source = SourcePackage { name: origin.unwrap_or_else(|| name.clone()), version: version.clone() };
        let architecture = text(self.architecture, text_bytes_max).unwrap_or_default();
        records.packages.push(Package { ecosystem: Ecosystem::Apk, name, version, architecture, source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_matters_and_the_origin_is_the_source() {
        let database =
            b"C:Q1abc=\nP:libssl3\nV:3.5.1-r0\nA:x86_64\no:openssl\np:so:libssl.so.3=3\nF:usr/lib\nR:x\n\n\
            P:musl\nV:1.2.5-r10\nA:x86_64\n\n";
        let records = parse(database, 100);
        let shown: Vec<_> = records
            .packages
            .iter()
            .map(|it| (it.name.as_str(), it.version.as_str(), it.source.name.as_str()))
            .collect();
        assert_eq!(shown, [("libssl3", "3.5.1-r0", "openssl"), ("musl", "1.2.5-r10", "musl")]);
        assert_eq!(records.bad, 0);
    }

    #[test]
    fn one_bad_record_does_not_cost_the_others() {
        let records = parse(b"P:a\n\nV:1\n\nP:b\nV:1\nwhat\n\nP:c\nV:2\n", 100);
        let names: Vec<_> = records.packages.iter().map(|it| it.name.as_str()).collect();
        assert_eq!((names.as_slice(), records.bad), (["b", "c"].as_slice(), 3));
        assert_eq!(parse(b"", 100), Records::default());
    }
}
