//! The orders of versions are orders: turned round they say the opposite, and they are transitive.
#![no_main]

use std::cmp::Ordering;

use inventory::Ecosystem;

libfuzzer_sys::fuzz_target!(|input: (bool, &str, &str, &str)| {
    let (is_deb, a, b, c) = input;
    let ecosystem = if is_deb { Ecosystem::Deb } else { Ecosystem::Apk };
    let order = |a, b| advisory::compare(ecosystem, a, b).ok();
    if let Some(own) = order(a, a) {
        assert_eq!(own, Ordering::Equal);
    }
    let Some(first) = order(a, b) else { return };
    assert_eq!(order(b, a), Some(first.reverse()));
    if let (Some(second), Some(whole)) = (order(b, c), order(a, c))
        && (first == second || second == Ordering::Equal)
    {
        assert_eq!(whole, first);
    }
});
