//! VEX documents: whatever they say, rules can be made of it, or they are no VEX documents.
#![no_main]

use assessment::{Subject, Vex};
use oci::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(repository) = "app".parse() else { return };
    let subject = Subject { repository: &repository, digest: &Digest::sha256(b"image") };
    if let Ok(Some(vex)) = Vex::read(bytes, subject) {
        for (criteria, reason) in vex.rules(subject, 100) {
            assert!(reason.len() <= 100 && criteria.checked().is_ok());
        }
    }
});
