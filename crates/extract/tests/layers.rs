//! Layers of every kind, friendly and hostile, made here byte by byte.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io::Write as _;

use extract::{Limits, extract};
use inventory::{FileContent, LayerInventory, ProblemKind, Removal};
use proptest::prelude::*;

const STATUS: &str = "var/lib/dpkg/status";
const OS: &[u8] = b"ID=debian\nVERSION_ID=12\n";
const DPKG: &[u8] = b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\n\n";

/// A header whose checksum holds, and its body.
fn entry(name: &str, kind: u8, link: &str, body: &[u8]) -> Vec<u8> {
    sized(name, kind, link, body.len() as u64, body)
}

fn sized(name: &str, kind: u8, link: &str, size: u64, body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, body: &[u8]) -> Vec<u8> {
    entry(name, b'0', "", body)
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let len = (rest..).find(|len| len.to_string().len() + rest == *len).unwrap();
        writeln!(body, "{len} {key}={value}").unwrap();
    }
    entry("pax", b'x', "", &body)
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(bytes: &[u8]) -> LayerInventory {
    extract(bytes, &Limits::default())
}

fn problems(inventory: &LayerInventory) -> Vec<(ProblemKind, &str)> {
    inventory.problems.iter().map(|it| (it.kind, it.path.as_deref().unwrap_or("-"))).collect()
}

/// `PATH=CONTENT`, as short as can be told apart.
fn files(inventory: &LayerInventory) -> Vec<String> {
    let show = |content: &FileContent| match content {
        FileContent::Packages { packages, .. } => {
            packages.iter().map(|it| format!("{}-{}", it.name, it.version)).collect::<Vec<_>>().join(",")
        }
        FileContent::Distro { distro } => distro.id.clone(),
        FileContent::Directory => "/".to_owned(),
        FileContent::Symlink { target } => format!("->{target}"),
        FileContent::Other => "?".to_owned(),
    };
    inventory.files.iter().map(|file| format!("{}={}", file.path, show(&file.content))).collect()
}

#[test]
fn every_packing_reads_the_same() {
    let plain = archive(&[file("./etc/os-release", OS), file(STATUS, DPKG)]);
    let (head, tail) = plain.split_at(1000);
    let members = [gzip(head), gzip(tail)].concat();
    let frames = [zstd::encode_all(head, 1).unwrap(), zstd::encode_all(tail, 1).unwrap()].concat();
    let expected = read(&plain);
    assert_eq!(files(&expected), ["etc/os-release=debian", "var/lib/dpkg/status=a-1,b-2"]);
    assert_eq!((expected.entries, expected.unpacked_bytes), (2, plain.len() as u64));
    for packed in [gzip(&plain), members, zstd::encode_all(plain.as_slice(), 3).unwrap(), frames] {
        assert_eq!(read(&packed), expected);
    }
}

#[test]
fn what_is_empty_is_no_problem() {
    for empty in [vec![], vec![0; 1024], vec![0; 10240], gzip(&[]), gzip(&[0; 1024])] {
        assert_eq!(problems(&read(&empty)), [], "{} bytes", empty.len());
    }
}

#[test]
fn what_is_no_archive_is_unsupported() {
    for bytes in
        [b"{\"a\":1}".to_vec(), b"BZh9xxxxxxxx".to_vec(), vec![0xfd, b'7', b'z', b'X', b'Z', 0], vec![7; 600]]
    {
        assert_eq!(problems(&read(&bytes)), [(ProblemKind::UnsupportedFormat, "-")]);
    }
    assert_eq!(problems(&read(&gzip(&[7; 600]))), [(ProblemKind::BadArchive, "-")]);
}

#[test]
fn places_of_every_kind_are_recorded() {
    let inventory = read(&archive(&[
        entry("./", b'5', "", b""),
        entry("usr/lib/", b'5', "", b""),
        entry("lib", b'2', "usr/lib", b""),
        entry("etc/os-release", b'2', "../usr/lib/os-release", b""),
        file("usr/lib/os-release", OS),
        file("var/lib/dpkg/status.d/base", b"Package: base\nVersion: 3\n"),
        file("var/lib/dpkg/status.d/base.md5sums", b"0 x\n"),
        file("var/lib/dpkg/status-old", b""),
        file("var/lib/dpkg/info/base.list", b""),
        file("var/lib/dpkg/info/base.md5sums", b""),
        file("usr/lib/apk/db/installed", b"P:musl\nV:1\n\n"),
        file("bin/sh", b"elf"),
        file("app/a.jar", b"zip"),
        entry("app/b.jar", b'1', "app/a.jar", b""),
    ]));
    assert_eq!(
        files(&inventory),
        [
            "etc/os-release=->../usr/lib/os-release",
            "lib=->usr/lib",
            "usr/lib=/",
            "usr/lib/apk/db/installed=musl-1",
            "usr/lib/os-release=debian",
            "var/lib/dpkg/info/base.list=?",
            "var/lib/dpkg/status-old=?",
            "var/lib/dpkg/status.d/base=base-3",
        ]
    );
    assert_eq!(problems(&inventory), []);
    let unjudged: Vec<_> = inventory.unjudged.iter().map(|it| (it.kind.as_str(), it.count)).collect();
    assert_eq!(unjudged, [("java", 2)]);
}

#[test]
fn whiteouts_that_hide_a_place_are_recorded() {
    let inventory = read(&archive(&[
        file("var/lib/dpkg/.wh.status", b""),
        file("var/lib/.wh..wh..opq", b""),
        file(".wh.etc", b""),
        file(".wh..wh..opq", b""),
        file("opt/.wh.x", b""),
        file(".wh..wh.plnk", b""),
    ]));
    let opaque = |path: &str| Removal::Opaque(path.to_owned());
    let path = |path: &str| Removal::Path(path.to_owned());
    assert_eq!(inventory.removals, [path("etc"), path(STATUS), opaque(""), opaque("var/lib")]);
    assert_eq!((problems(&inventory), files(&inventory)), (vec![], vec![]));
}

#[test]
fn a_whiteout_after_its_file_is_ambiguous_and_before_it_is_not() {
    let (whiteout, status) = (file("var/lib/.wh.dpkg", b""), file(STATUS, DPKG));
    assert_eq!(problems(&read(&archive(&[whiteout.clone(), status.clone()]))), []);
    let after = read(&archive(&[status, whiteout]));
    assert_eq!(problems(&after), [(ProblemKind::Ambiguous, "var/lib/dpkg")]);
    assert_eq!(problems(&read(&archive(&[file("etc/.wh.", b"")]))), [(ProblemKind::Ambiguous, "etc/.wh.")]);
    assert_eq!(
        problems(&read(&archive(&[file("etc/.wh...", b"")]))),
        [(ProblemKind::Ambiguous, "etc/.wh...")]
    );
}

#[test]
fn the_last_of_several_entries_wins() {
    let inventory = read(&archive(&[
        file(STATUS, DPKG),
        file(STATUS, b"Package: c\nVersion: 3\n"),
        file("etc/os-release", OS),
        file("etc", b"now a file"),
    ]));
    assert_eq!(files(&inventory), ["etc=?", "var/lib/dpkg/status=c-3"]);
}

#[test]
fn hard_links_share_what_was_read_and_nothing_else() {
    let shared = read(&archive(&[file(STATUS, DPKG), entry("var/lib/dpkg/status.d/x", b'1', STATUS, b"")]));
    assert_eq!(files(&shared), ["var/lib/dpkg/status=a-1,b-2", "var/lib/dpkg/status.d/x=a-1,b-2"]);
    assert_eq!(problems(&shared), []);
    for target in ["opt/status", "etc/os-release"] {
        let unknown = read(&archive(&[file("etc/os-release", OS), entry(STATUS, b'1', target, b"")]));
        assert_eq!(problems(&unknown), [(ProblemKind::Ambiguous, STATUS)], "{target}");
    }
}

#[test]
fn readers_that_would_disagree_make_a_problem() {
    let ambiguous = |entries: &[Vec<u8>], path: &str| {
        assert_eq!(problems(&read(&archive(entries))), [(ProblemKind::Ambiguous, path)], "{path}");
    };
    ambiguous(&[file("../../etc/os-release", OS)], "etc/os-release");
    ambiguous(&[pax(&[("size", "0")]), sized("x", b'0', "", 512, b"")], "x");
    ambiguous(&[pax(&[("path", "a")]), pax(&[("path", "b")]), file("c", b"")], "b");
    ambiguous(&[entry("long", b'L', "", b"a\0"), pax(&[("path", "b")]), file("c", b"")], "a");
    ambiguous(&[sized("dir/", b'5', "", 512, b"")], "dir");
    ambiguous(
        &[{
            let mut global = pax(&[("path", "etc/os-release")]);
            global[156] = b'g';
            let sum: u32 =
                global[..148].iter().chain(&global[156..512]).map(|it| u32::from(*it)).sum::<u32>() + 256;
            global[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            global
        }],
        "",
    );
    let mut followed = archive(&[file("x", b"")]);
    followed.extend(file("etc/os-release", OS));
    assert_eq!(problems(&read(&followed)), [(ProblemKind::Ambiguous, "-")]);
}

#[test]
fn names_beyond_a_header_are_read() {
    let long = "a/".repeat(200) + "../".repeat(200).as_str() + STATUS;
    let gnu =
        [entry("././@LongLink", b'L', "", format!("{long}\0").as_bytes()), file("short", DPKG)].concat();
    let posix = [pax(&[("path", &long), ("mtime", "1.5")]), file("short", DPKG)].concat();
    for archive_of in [gnu, posix] {
        assert_eq!(files(&read(&archive(&[archive_of]))), ["var/lib/dpkg/status=a-1,b-2"]);
    }
}

#[test]
fn what_stands_in_a_places_stead_is_reported_and_hides_what_was_below() {
    let stead = |bytes: Vec<u8>, kind: ProblemKind| {
        let inventory = read(&archive(&[bytes]));
        assert_eq!(problems(&inventory), [(kind, STATUS)]);
        assert_eq!(files(&inventory), [format!("{STATUS}=?")]);
    };
    stead(entry(STATUS, b'3', "", b""), ProblemKind::BadRecord);
    stead(entry(STATUS, b'6', "", b""), ProblemKind::BadRecord);
    stead(
        [pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]), file(STATUS, DPKG)].concat(),
        ProblemKind::UnsupportedFormat,
    );
    let limits = Limits { database_bytes_max: 10, ..Limits::default() };
    let large = extract(archive(&[file(STATUS, DPKG)]).as_slice(), &limits);
    assert_eq!(problems(&large), [(ProblemKind::LimitReached, STATUS)]);
    let unknown = read(&archive(&[entry("x", b'Z', "", b"")]));
    assert_eq!(problems(&unknown), [(ProblemKind::BadArchive, "x")]);
}

#[test]
fn damaged_records_are_reported_beside_the_others() {
    let inventory = read(&archive(&[
        file(STATUS, b"Package: a\n\nPackage: b\nVersion: 2\n"),
        file("etc/os-release", b"\0\x01"),
        file("var/lib/dpkg/status.d/y", b"no package\n"),
    ]));
    assert_eq!(
        files(&inventory),
        ["etc/os-release=?", "var/lib/dpkg/status=b-2", "var/lib/dpkg/status.d/y=?"]
    );
    let expected =
        [STATUS, "etc/os-release", "var/lib/dpkg/status.d/y"].map(|path| (ProblemKind::BadRecord, path));
    assert_eq!(problems(&inventory), expected);
}

#[test]
fn a_layer_cut_anywhere_is_truncated_and_keeps_what_was_whole() {
    let database = DPKG.repeat(100);
    let plain = archive(&[file("etc/os-release", OS), file(STATUS, &database)]);
    for cut in [600, 1100, 1600, 3000] {
        let inventory = read(&plain[..cut]);
        assert_eq!(problems(&inventory)[0].0, ProblemKind::Truncated, "{cut}");
    }
    assert_eq!(files(&read(&plain[..1600])), ["etc/os-release=debian", "var/lib/dpkg/status=a-1,b-2"]);
    let packed = gzip(&plain);
    for cut in [packed.len() - 1, packed.len() / 2] {
        assert_eq!(problems(&read(&packed[..cut])), [(ProblemKind::Truncated, "-")], "{cut}");
    }
    let mut damaged = packed.clone();
    let at = damaged.len() - 6; // in the checksum
    damaged[at] ^= 1;
    assert_eq!(problems(&read(&damaged)), [(ProblemKind::BadCompression, "-")]);
    let followed = [packed, b"garbage that is long".to_vec()].concat();
    assert_eq!(problems(&read(&followed)), [(ProblemKind::BadCompression, "-")]);
}

#[test]
fn every_limit_ends_the_reading_and_names_itself() {
    let many: Vec<_> = (0..20)
        .map(|number| file(&format!("var/lib/dpkg/status.d/{number}"), b"Package: a\nVersion: 1\n"))
        .collect();
    let many = archive(&many);
    let zeros = gzip(&archive(&[file("zeros", &vec![0; 1 << 20])]));
    let check = |layer: &[u8], name: &str, limits: Limits| {
        let inventory = extract(layer, &limits);
        let problem = inventory.problems.last().unwrap();
        assert_eq!(problem.kind, ProblemKind::LimitReached, "{name}: {problem:?}");
        assert!(problem.detail.contains(name), "{name}: {}", problem.detail);
        inventory
    };
    let base = Limits::default;
    let entries = check(&many, "entries_max", Limits { entries_max: 5, ..base() });
    assert_eq!(entries.files.len(), 5);
    check(&many, "paths_max", Limits { paths_max: 5, ..base() });
    check(&many, "packages_max", Limits { packages_max: 5, ..base() });
    check(&many, "inventory_bytes_max", Limits { inventory_bytes_max: 50, ..base() });
    check(&many, "path_bytes_max", Limits { path_bytes_max: 5, ..base() });
    check(&zeros, "unpacked_bytes_max", Limits { unpacked_bytes_max: 1 << 19, ..base() });
    check(&zeros, "ratio_max", Limits { ratio_max: 50, ratio_from_bytes: 1 << 19, ..base() });
    check(
        &archive(&[pax(&[("path", "x")]), file("y", b"")]),
        "extension_bytes_max",
        Limits { extension_bytes_max: 5, ..base() },
    );
    let doubtful: Vec<_> = (0..20).map(|number| entry(&number.to_string(), b'Z', "", b"")).collect();
    let capped = extract(archive(&doubtful).as_slice(), &Limits { problems_max: 5, ..base() });
    assert_eq!(capped.problems.len(), 5);
}

#[test]
fn a_million_entries_cost_no_memory() {
    let one = file("d/x", b"");
    let layer = std::iter::repeat_n(one.as_slice(), 1_000_000);
    let inventory = extract(Chained { pieces: layer, piece: &[] }, &Limits::default());
    assert_eq!((inventory.entries, problems(&inventory)), (1_000_000, vec![]));
}

/// Many pieces read as one.
struct Chained<'a, I> {
    pieces: I,
    piece: &'a [u8],
}

impl<'a, I: Iterator<Item = &'a [u8]>> std::io::Read for Chained<'a, I> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.pieces.next().unwrap_or_default();
        }
        self.piece.read(into)
    }
}

/// Packages in each image's layers together, as `dpkg -l` and `apk info` would count them.
#[test]
fn real_images_have_the_packages_that_they_have() {
    for (image, wanted) in [("debian-bullseye-ga", 96), ("distroless", 20), ("python-alpine", 38)] {
        let Some(layout) = testkit::shared(&format!("images/{image}"), "packages of a real image") else {
            continue;
        };
        let mut layers = Vec::new();
        for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let bytes = std::fs::read(blob.unwrap().path()).unwrap();
            if bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                layers.push(read(&bytes));
            }
        }
        let contents = layers.iter().flat_map(|layer| &layer.files).map(|file| &file.content);
        let packages: std::collections::BTreeSet<_> = contents
            .filter_map(|content| {
                if let FileContent::Packages { packages, .. } = content { Some(packages) } else { None }
            })
            .flatten()
            .map(|package| &package.name)
            .collect();
        assert_eq!(packages.len(), wanted, "{image}");
        let found: Vec<_> = layers.iter().flat_map(problems).collect();
        assert_eq!(found, [], "{image}");
    }
}

proptest! {
    #![proptest_config(testkit::cases(256))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        read(&bytes);
    }

    #[test]
    fn mutated_archives_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut bytes = archive(&[
            pax(&[("path", STATUS), ("size", "48")]),
            file("x", DPKG),
            entry("l", b'L', "", b"etc/os-release\0"),
            file("y", OS),
            entry("lib", b'2', "usr/lib", b""),
            entry("z", b'1', STATUS, b""),
            file("lib/apk/db/installed", b"P:a\nV:1\n\n"),
        ]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // Most changes would only break a checksum.
            for block in 0..bytes.len() / 512 {
                let header = &mut bytes[block * 512..][..512];
                if &header[257..262] == b"ustar" {
                    let sum: u32 = header[..148].iter().chain(&header[156..]).map(|it| u32::from(*it)).sum::<u32>() + 256;
                    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
        }
        read(&bytes);
    }
}
