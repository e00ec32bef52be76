//! `If-None-Match` of pulls, in one line or several.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Vec<&[u8]>, &[u8])| registry_api::hostile::if_none_match(
    &input.0, input.1
));
