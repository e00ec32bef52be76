//! The advisory file's reader, on bytes that are damaged.
#![no_main]

use advisory::Snapshot;
use oci::Digest;

libfuzzer_sys::fuzz_target!(|input: (&str, &str, &[u8])| {
    let (namespace, package, bytes) = input;
    let Ok(snapshot) = Snapshot::open(bytes, Digest::sha256(b"as its opener says")) else { return };
    let Ok(namespace) = namespace.parse() else { return };
    drop(snapshot.covers(&namespace));
    let Ok(records) = snapshot.lookup(&namespace, package) else { return };
    for record in records {
        let Ok(record) = record else { return };
        drop(snapshot.details(record.details));
    }
});
