//! What is sent to the token endpoint: its query, its form and its `Authorization` header.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (&str, &[u8])| registry_api::hostile::token_request(input.0, input.1));
