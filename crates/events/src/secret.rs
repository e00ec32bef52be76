//! Signatures of what is sent (Standard Webhooks 1.0, symmetric).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;

/// A new secret, as its owner is shown it and the store keeps it.
#[must_use]
pub fn random_secret() -> String {
    format!("{PREFIX}{}", STANDARD.encode(rand::rng().random::<[u8; SECRET_BYTES]>()))
}

/// The value of `webhook-signature` for a message sent at that second.
pub(crate) fn sign(secret: &str, id: &str, at_s: i64, body: &[u8]) -> String {
    let key = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let key = STANDARD.decode(key).unwrap_or_else(|_| secret.as_bytes().to_vec());
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(format!("{id}.{at_s}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

const PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standards_example() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(random_secret(), random_secret());
    }
}
