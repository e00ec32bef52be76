//! Sign-ins under way: codes that a browser carries to a program, and devices that wait for a person.
//!
//! They are kept in memory: after a restart whoever was about to sign in begins again.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

use auth::Caller;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// All that are under way.
#[derive(Default)]
pub(crate) struct SignIns {
    codes: Mutex<HashMap<String, Code>>,
    devices: Mutex<HashMap<String, Device>>,
}

/// What a code stands for (RFC 6749, section 4.1.2; RFC 7636).
pub(crate) struct Code {
    pub(crate) caller: Caller,
    pub(crate) client: Uuid,
    pub(crate) redirect: String,
    /// The hash of what only the program knows.
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    /// What the token is to be for, if the program says nothing else later.
    pub(crate) scope: String,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub(crate) made_ms: i64,
}

/// A device that waits (RFC 8628).
struct Device {
    /// Where it asked from.
    source: String,
    user_code: String,
    client: Uuid,
    scope: String,
    caller: Option<Caller>,
    made_ms: i64,
    asked_ms: i64,
}

/// What a device and its person are told.
pub(crate) struct Begun {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

/// What a device hears when it asks.
pub(crate) enum Polled {
    /// Who signed in, and the scope that the device asked for.
    Granted(Box<Caller>, String),
    Pending,
    TooSoon,
    Unknown,
}

impl SignIns {
    /// A code for the program. If there are too many, the oldest of the caller with the most gives way.
    pub(crate) fn keep(&self, code: Code) -> String {
        let mut codes = self.codes.lock();
        if codes.len() >= UNDER_WAY_MAX {
            codes.retain(|_, known| code.made_ms - known.made_ms < CODE_MS);
        }
        if codes.len() >= UNDER_WAY_MAX {
            give_way(&mut codes, |code| (code.caller.id, code.made_ms));
        }
        let name = auth::random_secret();
        codes.insert(name.clone(), code);
        name
    }

    /// What the code stands for. It is used up, right or wrong.
    pub(crate) fn redeem(
        &self,
        code: &str,
        client: Uuid,
        redirect: &str,
        verifier: &str,
        now_ms: i64,
    ) -> Option<Code> {
        let found = self.codes.lock().remove(code)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let is_it = found.client == client && found.redirect == redirect && found.challenge == challenge;
        (is_it && now_ms - found.made_ms < CODE_MS).then_some(found)
    }

    /// Codes for a device that asks from there. Anybody may ask, so each place has its share; if all are too many,
    /// the oldest of the place with the most gives way.
    ///
    /// # Errors
    /// In how many seconds there is room again, if too many wait from there.
    pub(crate) fn begin_device(
        &self,
        address: &str,
        client: Uuid,
        scope: &str,
        now_ms: i64,
    ) -> Result<Begun, u64> {
        let source = auth::source_of(address);
        let mut devices = self.devices.lock();
        devices.retain(|_, device| now_ms - device.made_ms < SIGN_IN_MS);
        let of_source = devices.values().filter(|device| device.source == source);
        if of_source.clone().count() >= SOURCE_MAX {
            let oldest = of_source.map(|device| device.made_ms).min();
            let left_ms = oldest.unwrap_or(now_ms) + SIGN_IN_MS - now_ms;
            return Err(u64::try_from(left_ms / 1000 + 1).unwrap_or(1));
        }
        if devices.len() >= UNDER_WAY_MAX {
            give_way(&mut devices, |device| (device.source.clone(), device.made_ms));
        }
        let user_code = loop {
            let code = user_code();
            if devices.values().all(|known| known.user_code != code) {
                break code;
            }
        };
        let device_code = auth::random_secret();
        let begun = Begun { device_code: device_code.clone(), user_code: user_code.clone() };
        let scope = scope.to_owned();
        let device = Device { source, user_code, client, scope, caller: None, made_ms: now_ms, asked_ms: 0 };
        devices.insert(device_code, device);
        Ok(begun)
    }

    /// Lets the device go on as the caller; false if none waits under this code.
    pub(crate) fn approve(&self, user_code: &str, caller: &Caller, now_ms: i64) -> bool {
        let wanted = plain(user_code);
        let mut devices = self.devices.lock();
        let Some(device) = devices.values_mut().find(|device| device.is_open(&wanted, now_ms)) else {
            return false;
        };
        device.caller = Some(caller.clone());
        true
    }

    /// What has come of it. Who has been let in is told so once.
    pub(crate) fn poll(&self, device_code: &str, client: Uuid, now_ms: i64) -> Polled {
        let mut devices = self.devices.lock();
        let Some(device) = devices.get_mut(device_code).filter(|device| device.client == client) else {
            return Polled::Unknown;
        };
        if now_ms - device.made_ms >= SIGN_IN_MS {
            devices.remove(device_code);
            return Polled::Unknown;
        }
        if let Some(caller) = device.caller.take() {
            let scope = std::mem::take(&mut device.scope);
            devices.remove(device_code);
            return Polled::Granted(Box::new(caller), scope);
        }
        let is_soon = now_ms - device.asked_ms < POLL_MS - POLL_LEEWAY_MS;
        device.asked_ms = now_ms;
        if is_soon { Polled::TooSoon } else { Polled::Pending }
    }
}

impl Device {
    fn is_open(&self, user_code: &str, now_ms: i64) -> bool {
        plain(&self.user_code) == *user_code && self.caller.is_none() && now_ms - self.made_ms < SIGN_IN_MS
    }
}

/// Removes the oldest of the owner who has the most, and of owners who have as many the oldest of all.
fn give_way<T, K: Eq + Hash>(table: &mut HashMap<String, T>, owner_and_time: impl Fn(&T) -> (K, i64)) {
    let mut oldest = HashMap::<K, (usize, i64, &str)>::new();
    for (name, entry) in table.iter() {
        let (owner, made_ms) = owner_and_time(entry);
        let known = oldest.entry(owner).or_insert((0, made_ms, name));
        known.0 += 1;
        if made_ms < known.1 {
            (known.1, known.2) = (made_ms, name);
        }
    }
    let most = oldest.into_values().max_by_key(|(count, made_ms, _)| (*count, Reverse(*made_ms)));
    if let Some(name) = most.map(|(_, _, name)| name.to_owned()) {
        table.remove(&name);
    }
}

/// `BCDF-GHJK`: consonants make no words.
fn user_code() -> String {
    let mut letters = Vec::new();
    while letters.len() < 8 {
        letters.extend(auth::random_secret().chars().filter(|it| "BCDFGHJKLMNPQRSTVWXZ".contains(*it)));
    }
    let code: String = letters.into_iter().take(8).collect();
    let (one, other) = code.split_at(4);
    format!("{one}-{other}")
}

fn plain(user_code: &str) -> String {
    user_code.chars().filter(char::is_ascii_alphanumeric).take(16).map(|it| it.to_ascii_uppercase()).collect()
}

/// A person has so long to sign in for a device.
pub(crate) const SIGN_IN_MS: i64 = 900_000;
/// A device asks so often.
pub(crate) const POLL_MS: i64 = 5_000;
/// Clocks and networks are not exact.
const POLL_LEEWAY_MS: i64 = 1_000;
/// A browser and a program on one machine need no longer (RFC 6749, section 4.1.2: ten minutes at most).
const CODE_MS: i64 = 300_000;
const UNDER_WAY_MAX: usize = 5_000;
/// Devices that wait from one place.
const SOURCE_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Uuid = Uuid::from_u128(4);
    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn a_device_waits_for_its_person_and_no_longer_than_it_may() {
        let sign_ins = SignIns::default();
        let begun = sign_ins.begin_device("", CLIENT, "", 0).unwrap();
        assert!(matches!(sign_ins.poll(&begun.device_code, CLIENT, 5_000), Polled::Pending));
        assert!(matches!(sign_ins.poll(&begun.device_code, CLIENT, 6_000), Polled::TooSoon));
        assert!(matches!(sign_ins.poll(&begun.device_code, Uuid::nil(), 20_000), Polled::Unknown));
        assert!(matches!(sign_ins.poll(&begun.device_code, CLIENT, 15 * MINUTE_MS), Polled::Unknown));
    }

    #[test]
    fn who_asks_for_many_codes_keeps_nobody_else_from_one() {
        let sign_ins = SignIns::default();
        for number in 0..SOURCE_MAX {
            let address = format!("2001:db8:0:1::{number:x}");
            assert!(sign_ins.begin_device(&address, CLIENT, "", 0).is_ok(), "{number}");
        }
        let refused = sign_ins.begin_device("2001:db8:0:1:ffff::1", CLIENT, "", MINUTE_MS);
        assert_eq!(refused.err(), Some(14 * 60 + 1));
        for address in ["2001:db8:0:2::1", "192.0.2.1", ""] {
            assert!(sign_ins.begin_device(address, CLIENT, "", MINUTE_MS).is_ok(), "{address}");
        }
        assert!(sign_ins.begin_device("2001:db8:0:1::1", CLIENT, "", 15 * MINUTE_MS).is_ok());
    }

    #[test]
    fn all_together_are_bounded_and_the_oldest_of_the_place_with_the_most_gives_way() {
        let sign_ins = SignIns::default();
        let begin = |place: &str, now_ms| sign_ins.begin_device(place, CLIENT, "", now_ms).ok().unwrap();
        let lone = begin("lone", 0);
        let first = begin("many", 1);
        let second = begin("many", 2);
        for number in 3..UNDER_WAY_MAX {
            begin(&number.to_string(), 3);
        }
        begin("new", 4);
        assert_eq!(sign_ins.devices.lock().len(), UNDER_WAY_MAX);
        assert!(matches!(sign_ins.poll(&first.device_code, CLIENT, 5_000), Polled::Unknown));
        assert!(matches!(sign_ins.poll(&second.device_code, CLIENT, 5_000), Polled::Pending));
        assert!(matches!(sign_ins.poll(&lone.device_code, CLIENT, 5_000), Polled::Pending));
    }
}
