//! How often one principal may ask.
//!
//! Each has an allowance that fills evenly: a minute's worth may be spent at once, more only as it
//! comes. Only those who have said truly who they are count, so what is kept is bounded by the
//! principals there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Counts requests by principal. Clones share it.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// What one request uses up.
    cost: Duration,
    began: Instant,
    /// When each one's allowance will be whole again, since `began`.
    whole_at: Arc<Mutex<HashMap<String, Duration>>>,
}

impl RateLimit {
    /// `None` if any number is allowed (0).
    #[must_use]
    pub fn per_minute(requests: u32) -> Option<Self> {
        let cost = MINUTE.checked_div(requests)?;
        Some(Self { cost, began: Instant::now(), whole_at: Arc::default() })
    }

    /// Spends one request, or says in how many seconds there is one to spend.
    pub(crate) fn take(&self, principal: &str) -> Result<(), u64> {
        self.take_at(principal, self.began.elapsed())
    }

    fn take_at(&self, principal: &str, now: Duration) -> Result<(), u64> {
        let mut whole_at = self.whole_at.lock();
        let spent = whole_at.get(principal).map_or(Duration::ZERO, |at| at.saturating_sub(now)) + self.cost;
        if spent > MINUTE {
            // Rounded up: who waits that long is let through.
            return Err((spent - MINUTE).as_secs() + 1);
        }
        if whole_at.len() >= PRINCIPALS_MAX {
            whole_at.retain(|_, at| *at > now);
        }
        if let Some(at) = whole_at.get_mut(principal) {
            *at = now + spent;
        } else {
            whole_at.insert(principal.to_owned(), now + spent);
        }
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_mins(1);

/// Beyond that many those who have their whole allowance are forgotten.
const PRINCIPALS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_as_it_comes() {
        let limit = RateLimit::per_minute(4).expect("some");
        let at = Duration::from_secs;
        for _ in 0..4 {
            assert_eq!(limit.take_at("a", at(100)), Ok(()));
        }
        let wait = limit.take_at("a", at(100)).expect_err("spent");
        assert_eq!(wait, 16);
        assert_eq!(limit.take_at("b", at(100)), Ok(()), "another's allowance is another's");
        assert!(limit.take_at("a", at(114)).is_err());
        assert_eq!(limit.take_at("a", at(100 + wait)), Ok(()));
        assert!(
            limit.take_at("a", at(100 + wait)).is_err(),
            "a refused request costs nothing, and gives nothing"
        );
        assert!(RateLimit::per_minute(0).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let limit = RateLimit::per_minute(60).expect("some");
        for number in 0..3 * PRINCIPALS_MAX {
            let now = Duration::from_secs(number as u64);
            assert_eq!(limit.take_at(&number.to_string(), now), Ok(()));
        }
        assert!(limit.whole_at.lock().len() <= PRINCIPALS_MAX + 1);
    }
}
