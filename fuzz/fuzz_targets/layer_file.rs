//! One file of a layer, at a place that matters: records of packages, releases, and links.
#![no_main]

use extract::Limits;

const PLACES: [&str; 6] = [
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/base",
    "var/lib/dpkg/info/base.list",
    "lib/apk/db/installed",
    "etc/os-release",
    "etc/alpine-release",
];

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (place, bytes) = input;
    let path = PLACES[usize::from(place) % PLACES.len()];
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, bytes).expect("is written");
    let layer = archive.into_inner().expect("is written");
    let limits = Limits::default();
    let inventory = extract::extract(&layer[..], &limits);
    assert!(inventory.problems.len() <= limits.problems_max + 1);
});
