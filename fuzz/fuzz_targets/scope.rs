//! The scope grammar of token requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|scope: &str| registry_api::hostile::scope(scope));
