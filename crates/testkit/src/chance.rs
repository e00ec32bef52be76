//! Chance in tests: every random test draws from one seed, which a run can choose.
//!
//! A test that fails shows the seed among what it printed; `LAZARET_SEED` set to it draws the same again. Nothing
//! is written: a case that was found once becomes a test with a name. `cargo xtask nightly` tries many seeds.

use proptest::test_runner::{Config, RngSeed, TestRunner};

/// The seed of this run: `LAZARET_SEED`, or the same for all runs.
#[must_use]
#[expect(clippy::print_stdout, reason = "the harness shows it when a test fails")]
pub fn seed() -> u64 {
    let seed = number("LAZARET_SEED").unwrap_or(SEED);
    println!("LAZARET_SEED={seed}");
    seed
}

/// So many cases of a property, drawn from the [`seed`]; `LAZARET_CASES` says how many times as many.
#[must_use]
pub fn cases(cases: u32) -> Config {
    let times =
        number("LAZARET_CASES").map_or(1, |times| u32::try_from(times).expect("LAZARET_CASES is small"));
    let cases = cases.saturating_mul(times);
    Config {
        cases,
        max_global_rejects: cases.saturating_mul(10).max(1024),
        max_local_rejects: cases.saturating_mul(100).max(65_536),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed()),
        ..Config::default()
    }
}

/// Draws for a test that is no property.
#[must_use]
pub fn runner() -> TestRunner {
    TestRunner::new(cases(1))
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}

/// Any number would do.
const SEED: u64 = 20_260_101;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    #[test]
    fn one_seed_draws_the_same_values() {
        let draw = || {
            let mut runner = super::runner();
            let values = proptest::collection::vec(any::<u64>(), 8);
            values.new_tree(&mut runner).expect("values").current()
        };
        assert_eq!(draw(), draw());
        assert_eq!(super::cases(5).failure_persistence, None);
    }
}
