//! Any text as a query: it is read or refused, and what is read prints as a text that reads back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(query) = kql::parse(text) {
        let printed = query.to_string();
        // Printing adds brackets: a text near the limits may pass them.
        if let Ok(again) = kql::parse(&printed) {
            assert_eq!(printed, again.to_string(), "{text:?}");
        }
    }
});
