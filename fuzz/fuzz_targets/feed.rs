//! What a source of advisories publishes, packed or not: refused whole, or made into a snapshot that opens.
#![no_main]

use advisory::Snapshot;
use oci::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = feeds::source::parse(bytes, &Digest::sha256(bytes), 16 << 20) else { return };
    assert!(parsed.records > 0, "a payload that says nothing is refused");
    let (snapshot, digest) = parsed.statements.finish();
    assert!(Snapshot::open(snapshot, digest).is_ok());
});
