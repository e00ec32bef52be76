//! How often one caller may ask.

use std::collections::HashMap;

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::error::GraphError;

pub(crate) struct Quota {
    most: u32,
    /// When each caller's window began, and how many requests it has seen.
    windows: Mutex<HashMap<Uuid, (i64, u32)>>,
}

/// What a caller has left.
pub(crate) struct Left {
    requests: u32,
    resets_after_ms: i64,
}

impl Quota {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, windows: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 if the caller has asked too often.
    pub(crate) fn take(&self, caller: Uuid, now_ms: i64) -> Result<Left, GraphError> {
        let mut windows = self.windows.lock();
        if windows.len() >= CALLERS_MAX {
            windows.retain(|_, (began, _)| now_ms - *began < WINDOW_MS);
        }
        let (began, count) = windows.entry(caller).or_insert((now_ms, 0));
        // A clock that was set back begins a new window, too.
        if !(0..WINDOW_MS).contains(&(now_ms - *began)) {
            (*began, *count) = (now_ms, 0);
        }
        let resets_after_ms = WINDOW_MS - (now_ms - *began);
        if *count >= self.most {
            return Err(GraphError::too_many((resets_after_ms + 999) / 1000));
        }
        *count += 1;
        Ok(Left { requests: self.most - *count, resets_after_ms })
    }
}

impl Left {
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        write(headers, self.requests, (self.resets_after_ms + 999) / 1000);
    }
}

/// Says how many requests are left, and in how many seconds there are more.
pub(crate) fn write(headers: &mut HeaderMap, requests: u32, resets_after_s: i64) {
    for name in ["x-ms-user-quota-remaining", "x-ms-ratelimit-remaining-tenant-resource-requests"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(requests));
    }
    if let Ok(resets) = HeaderValue::from_str(&format!("00:00:{resets_after_s:02}")) {
        headers.insert(HeaderName::from_static("x-ms-user-quota-resets-after"), resets);
    }
}

/// Azure's: so many queries in five seconds.
const WINDOW_MS: i64 = 5000;
const CALLERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_and_callers_do_not_share_one() {
        let quota = Quota::new(2);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(quota.take(one, 1000).unwrap().requests, 1);
        assert_eq!(quota.take(one, 1001).unwrap().requests, 0);
        assert_eq!(quota.take(one, 3500).err().unwrap().retry_after_s, Some(3));
        assert!(quota.take(other, 3500).is_ok());
        assert!(quota.take(one, 6000).is_ok());
        assert!(quota.take(one, 10).is_ok(), "a clock that was set back");
    }
}
