//! Who fails too often must wait.

use std::collections::HashMap;

/// Failures of late, by name.
#[derive(Default)]
pub(crate) struct Throttle {
    failures: HashMap<String, Failures>,
}

#[derive(Clone, Copy)]
struct Failures {
    since_ms: i64,
    count: u32,
}

impl Throttle {
    /// Seconds that a name must wait; `None`: it may try now.
    pub(crate) fn wait_s(&self, name: &str, now_ms: i64) -> Option<u64> {
        let failures = self.failures.get(&name.to_ascii_lowercase())?;
        let left_ms = failures.since_ms + WINDOW_MS - now_ms;
        let is_over = failures.count < FAILURES_MAX || left_ms <= 0;
        (!is_over).then(|| u64::try_from(left_ms).unwrap_or(0).div_ceil(1000))
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, name: &str, now_ms: i64) {
        if self.failures.len() >= NAMES_MAX {
            self.failures.retain(|_, failures| now_ms - failures.since_ms < WINDOW_MS);
        }
        // Whoever floods us with names gets nowhere with any of them; the rest is forgotten.
        if self.failures.len() >= NAMES_MAX {
            self.failures.clear();
        }
        let failures =
            self.failures.entry(name.to_ascii_lowercase()).or_insert(Failures { since_ms: now_ms, count: 0 });
        if now_ms - failures.since_ms >= WINDOW_MS {
            *failures = Failures { since_ms: now_ms, count: 0 };
        }
        failures.count += 1;
    }
}

const FAILURES_MAX: u32 = 10;
const WINDOW_MS: i64 = 60_000;
const NAMES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_in_a_minute_are_enough() {
        let mut throttle = Throttle::default();
        for second in 0..10 {
            assert_eq!(throttle.wait_s("a", second * 1000), None);
            throttle.failed("A", second * 1000);
        }
        assert_eq!(throttle.wait_s("a", 10_000), Some(50));
        assert_eq!(throttle.wait_s("b", 10_000), None);
        assert_eq!(throttle.wait_s("a", 60_000), None);
        throttle.failed("a", 60_000);
        assert_eq!(throttle.wait_s("a", 60_001), None);
    }
}
