//! VEX documents: whatever they say, rules can be made of it, or they are no VEX documents.
#![no_main]

use assessment::Vex;
use oci::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let subject = Digest::sha256(b"image");
    let Ok(repository) = "app".parse() else { return };
    if let Ok(Some(vex)) = Vex::read(bytes, &subject) {
        for (criteria, reason) in vex.rules(&repository, &subject, 100) {
            assert!(reason.len() <= 100 && criteria.checked().is_ok());
        }
    }
});
