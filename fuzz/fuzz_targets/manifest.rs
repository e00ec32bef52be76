//! Manifests and indexes, pushed as each of the types that there are.
#![no_main]

use oci::{Manifest, MediaType};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let types =
        [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX, MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST];
    let (number, bytes) = input;
    let media_type = MediaType::new(types[usize::from(number) % types.len()]);
    if let Ok(manifest) = Manifest::parse(&media_type, bytes.to_vec()) {
        assert_eq!(manifest.bytes(), bytes, "bytes are kept as they came");
        assert!(manifest.required_blobs().count() == 0 || manifest.children().next().is_none());
    }
});
