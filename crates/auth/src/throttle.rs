//! Who fails too often must wait: each place for itself, and all strangers to an account together.
//!
//! All of it is kept in memory: a restart forgets it.

use std::collections::HashMap;
use std::net::IpAddr;

/// Failures of late, and from where each name has signed in.
#[derive(Default)]
pub(crate) struct Throttle {
    /// By name and source.
    failures: HashMap<(String, String), Failures>,
    /// By name: of the sources from which it has not signed in, together.
    strangers: HashMap<String, Failures>,
    /// From where each name has signed in, and when it did last.
    homes: HashMap<String, Vec<(String, i64)>>,
}

#[derive(Clone, Copy)]
struct Failures {
    since_ms: i64,
    count: u32,
}

impl Failures {
    fn wait_s(self, count_max: u32, now_ms: i64) -> Option<u64> {
        let left_ms = self.since_ms + WINDOW_MS - now_ms;
        let is_over = self.count < count_max || left_ms <= 0;
        (!is_over).then(|| u64::try_from(left_ms).unwrap_or(0).div_ceil(1000))
    }
}

impl Throttle {
    /// Seconds that a name must wait at a source; `None`: it may try now.
    pub(crate) fn wait_s(&self, name: &str, source: &str, now_ms: i64) -> Option<u64> {
        let name = name.to_ascii_lowercase();
        let is_home = self.is_home(&name, source);
        let of_strangers = self.strangers.get(&name).filter(|_| !is_home);
        let of_strangers = of_strangers.and_then(|failures| failures.wait_s(STRANGERS_MAX, now_ms));
        let own = self.failures.get(&(name, source.to_owned()));
        own.and_then(|failures| failures.wait_s(FAILURES_MAX, now_ms)).max(of_strangers)
    }

    /// Whether the name has signed in from there before.
    pub(crate) fn is_home(&self, name: &str, source: &str) -> bool {
        let homes = self.homes.get(&name.to_ascii_lowercase());
        homes.is_some_and(|homes| homes.iter().any(|(known, _)| known == source))
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, name: &str, source: &str, now_ms: i64) {
        let name = name.to_ascii_lowercase();
        if !self.is_home(&name, source) {
            count(&mut self.strangers, name.clone(), now_ms);
        }
        count(&mut self.failures, (name, source.to_owned()), now_ms);
    }

    /// The name has signed in from there.
    pub(crate) fn succeeded(&mut self, name: &str, source: &str, now_ms: i64) {
        let name = name.to_ascii_lowercase();
        if self.homes.len() >= NAMES_MAX && !self.homes.contains_key(&name) {
            let last_ms = |homes: &Vec<(String, i64)>| homes.iter().map(|(_, at_ms)| *at_ms).max();
            let oldest = self.homes.iter().min_by_key(|(_, homes)| last_ms(homes));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.homes.remove(&oldest);
            }
        }
        let homes = self.homes.entry(name).or_default();
        homes.retain(|(known, _)| known != source);
        if homes.len() >= HOMES_MAX {
            // They are in the order of their last sign-ins.
            homes.remove(0);
        }
        homes.push((source.to_owned(), now_ms));
    }
}

/// What is kept is bounded: the oldest gives way.
fn count<K: Clone + Eq + std::hash::Hash>(table: &mut HashMap<K, Failures>, key: K, now_ms: i64) {
    if table.len() >= NAMES_MAX && !table.contains_key(&key) {
        table.retain(|_, failures| now_ms - failures.since_ms < WINDOW_MS);
        if table.len() >= NAMES_MAX {
            let oldest = table.iter().min_by_key(|(_, failures)| failures.since_ms);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                table.remove(&oldest);
            }
        }
    }
    let failures = table.entry(key).or_insert(Failures { since_ms: now_ms, count: 0 });
    if now_ms - failures.since_ms >= WINDOW_MS {
        *failures = Failures { since_ms: now_ms, count: 0 };
    }
    failures.count += 1;
}

/// The place that an address belongs to: one household has one address, or 64 bits of one (RFC 6177).
///
/// ```
/// assert_eq!(auth::source_of("2001:db8:0:1::7"), auth::source_of("2001:db8:0:1:ffff::1"));
/// assert_eq!(auth::source_of("::ffff:192.0.2.1"), auth::source_of("192.0.2.1"));
/// assert_ne!(auth::source_of("192.0.2.1"), auth::source_of("192.0.2.2"));
/// ```
#[must_use]
pub fn source_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            address.segments().iter().take(4).map(|part| format!("{part:x}:")).collect()
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

/// For one name from one source, in a window.
const FAILURES_MAX: u32 = 10;
/// For one name from all sources that it has not signed in from: who guesses from many places gets no further.
const STRANGERS_MAX: u32 = 100;
const WINDOW_MS: i64 = 60_000;
const NAMES_MAX: usize = 10_000;
/// Sources that are remembered of one name.
const HOMES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_in_a_minute_are_enough() {
        let mut throttle = Throttle::default();
        for second in 0..10 {
            assert_eq!(throttle.wait_s("a", "here", second * 1000), None);
            throttle.failed("A", "here", second * 1000);
        }
        assert_eq!(throttle.wait_s("a", "here", 10_000), Some(50));
        assert_eq!(throttle.wait_s("b", "here", 10_000), None);
        assert_eq!(throttle.wait_s("a", "there", 10_000), None, "a guesser locks the name for others");
        assert_eq!(throttle.wait_s("a", "here", 60_000), None);
        throttle.failed("a", "here", 60_000);
        assert_eq!(throttle.wait_s("a", "here", 60_001), None);
    }

    #[test]
    fn guesses_from_everywhere_lock_a_name_but_where_it_signed_in() {
        let mut throttle = Throttle::default();
        throttle.succeeded("Ann", "home", 0);
        for place in 0..STRANGERS_MAX {
            assert_eq!(throttle.wait_s("ann", "new", 1), None);
            throttle.failed("ann", &format!("place {place}"), 1);
        }
        assert_eq!(throttle.wait_s("ann", "new", 1), Some(60));
        assert_eq!(throttle.wait_s("ann", "home", 1), None);
        // Guesses from there are still guesses.
        for _ in 0..FAILURES_MAX {
            throttle.failed("ann", "home", 1);
        }
        assert_eq!(throttle.wait_s("ann", "home", 1), Some(60));
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_gives_way() {
        let mut throttle = Throttle::default();
        for second in 0..FAILURES_MAX {
            throttle.failed("ann", "here", i64::from(second) + 1);
        }
        throttle.failed("old", "there", 0);
        for number in 0..NAMES_MAX - 2 {
            throttle.failed(&number.to_string(), "there", 100);
        }
        throttle.failed("new", "there", 101);
        assert_eq!((throttle.failures.len(), throttle.strangers.len()), (NAMES_MAX, NAMES_MAX));
        assert!(throttle.wait_s("ann", "here", 101).is_some(), "a flood of names sets a guesser free");
        for number in 0..=HOMES_MAX {
            throttle.succeeded("ann", &number.to_string(), 200);
        }
        assert_eq!(throttle.homes["ann"].len(), HOMES_MAX);
        assert!(!throttle.is_home("ann", "0") && throttle.is_home("ann", "1"));
        for number in 0..NAMES_MAX {
            throttle.succeeded(&number.to_string(), "home", 300);
        }
        assert_eq!(throttle.homes.len(), NAMES_MAX);
        assert!(!throttle.is_home("ann", "1"));
    }
}
