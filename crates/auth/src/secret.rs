//! Secrets: made here, stored only as hashes.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// A hash that tells nothing of the secret: argon2id in PHC form, 19 MiB and two passes (OWASP,
/// "Password Storage Cheat Sheet").
///
/// # Panics
/// If the operating system has no randomness to give.
#[must_use]
#[expect(clippy::expect_used, reason = "a house without randomness must not stand")]
pub fn hash_secret(secret: &str) -> String {
    Argon2::default()
        .hash_password(secret.as_bytes())
        .expect("the salt is random and the parameters ours")
        .to_string()
}

/// 32 letters and digits: 190 bits.
#[must_use]
pub fn random_secret() -> String {
    let mut random = rand::rng();
    (0..32).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect()
}

/// True if `hash` was made from `secret`. A hash that does not parse matches nothing.
#[must_use]
pub fn is_secret_of(secret: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
}

/// Tells one hash from the next, and nothing else: hashes are salted.
pub(crate) fn fingerprint(hash: &str) -> String {
    let digest = Sha256::digest(hash.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_secret_alone() {
        let secret = random_secret();
        let hash = hash_secret(&secret);
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is_secret_of(&secret, &hash));
        assert!(!is_secret_of(&random_secret(), &hash));
        assert!(!is_secret_of(&secret, "no hash"));
        assert_ne!(hash_secret(&secret), hash, "salted");
    }
}
