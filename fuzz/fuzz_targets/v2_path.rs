//! The path grammar of `/v2/` and `/acr/v1/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|path: &str| registry_api::hostile::path(path));
