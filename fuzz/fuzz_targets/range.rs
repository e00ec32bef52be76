//! `Range` of pulls and `Content-Range` of chunks.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (&str, u64)| registry_api::hostile::range(input.0, input.1));
