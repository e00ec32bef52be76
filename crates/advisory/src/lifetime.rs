//! How long releases are looked after.

use jiff::civil::{Date, date};

use crate::{Namespace, Vendor};

/// The last day on which the vendor looks after this release for everybody, long-term support
/// included, paid support not; `None` for rolling releases and those without a date yet.
#[must_use]
pub fn end_of_life(namespace: &Namespace) -> Option<Date> {
    let table: &[(&str, Date)] = match namespace.vendor() {
        Vendor::Debian => &DEBIAN,
        Vendor::Alpine => &ALPINE,
    };
    table.iter().find(|(release, _)| *release == namespace.release()).map(|(_, end)| *end)
}

/// Debian's distro-info-data, column `eol-lts` (`eol` where a release had no long-term support).
const DEBIAN: [(&str, Date); 10] = [
    ("etch", date(2010, 2, 15)),
    ("lenny", date(2012, 2, 6)),
    ("squeeze", date(2016, 2, 29)),
    ("wheezy", date(2018, 5, 31)),
    ("jessie", date(2020, 6, 30)),
    ("stretch", date(2022, 6, 30)),
    ("buster", date(2024, 6, 30)),
    ("bullseye", date(2026, 8, 31)),
    ("bookworm", date(2028, 6, 30)),
    ("trixie", date(2030, 6, 30)),
];

/// alpinelinux.org/releases, the `main` repository's end of support.
const ALPINE: [(&str, Date); 22] = [
    ("v3.2", date(2017, 5, 1)),
    ("v3.3", date(2017, 11, 1)),
    ("v3.4", date(2018, 5, 1)),
    ("v3.5", date(2018, 11, 1)),
    ("v3.6", date(2019, 5, 1)),
    ("v3.7", date(2019, 11, 1)),
    ("v3.8", date(2020, 5, 1)),
    ("v3.9", date(2020, 11, 1)),
    ("v3.10", date(2021, 5, 1)),
    ("v3.11", date(2021, 11, 1)),
    ("v3.12", date(2022, 5, 1)),
    ("v3.13", date(2022, 11, 1)),
    ("v3.14", date(2023, 5, 1)),
    ("v3.15", date(2023, 11, 1)),
    ("v3.16", date(2024, 5, 23)),
    ("v3.17", date(2024, 11, 22)),
    ("v3.18", date(2025, 5, 9)),
    ("v3.19", date(2025, 11, 1)),
    ("v3.20", date(2026, 4, 1)),
    ("v3.21", date(2026, 11, 1)),
    ("v3.22", date(2027, 5, 1)),
    ("v3.23", date(2027, 11, 1)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_in_the_tables_is_a_namespace() {
        for (vendor, table) in [(Vendor::Debian, &DEBIAN[..]), (Vendor::Alpine, &ALPINE[..])] {
            for (release, end) in table {
                let namespace = Namespace::new(vendor, release).expect("a release");
                assert_eq!(end_of_life(&namespace), Some(*end));
            }
            assert!(table.is_sorted_by_key(|(_, end)| *end));
        }
    }

    #[test]
    fn rolling_releases_do_not_end() {
        for name in ["debian:sid", "alpine:edge", "debian:forky"] {
            assert_eq!(end_of_life(&name.parse().expect("valid")), None);
        }
    }
}
