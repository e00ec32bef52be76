//! Certificates, whose keys stand for principals instead of secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::are_keys;

/// What a certificate says that is of use here. Who issued it does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its key, as a JSON Web Key Set of one (RFC 7517).
    pub keys: String,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub end_ms: i64,
}

/// Why a certificate cannot stand for anybody.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificate {
    /// It does not parse (RFC 5280).
    #[error("it is not an X.509 certificate: {0}")]
    NoCertificate(String),
    /// Less than clients and NIST SP 800-57 ask for.
    #[error("its key is shorter than {} bits", RSA_BYTES_MIN * 8)]
    ShortKey,
    /// Neither RSA nor P-256.
    #[error("its key is neither RSA nor of the curve P-256")]
    OtherKey,
}

impl Certificate {
    /// Reads one in DER.
    ///
    /// # Errors
    /// [`UnusableCertificate`].
    pub fn from_der(der: &[u8]) -> Result<Self, UnusableCertificate> {
        let parsed = X509Certificate::from_der(der);
        let (_, certificate) =
            parsed.map_err(|error| UnusableCertificate::NoCertificate(error.to_string()))?;
        let keys = json!({ "keys": [jwk(&certificate)?] }).to_string();
        if !are_keys(&keys) {
            return Err(UnusableCertificate::OtherKey);
        }
        Ok(Self { keys, end_ms: certificate.validity().not_after.timestamp().saturating_mul(1000) })
    }
}

fn jwk(certificate: &X509Certificate<'_>) -> Result<Value, UnusableCertificate> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = certificate.public_key().parsed();
    match key.map_err(|error| UnusableCertificate::NoCertificate(error.to_string()))? {
        PublicKey::RSA(key) => {
            // DER's sign is none of the number's.
            let modulus = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
            if modulus.len() < RSA_BYTES_MIN {
                return Err(UnusableCertificate::ShortKey);
            }
            Ok(json!({ "kty": "RSA", "n": encode(modulus), "e": encode(key.exponent) }))
        }
        PublicKey::EC(point) => {
            // Uncompressed: 4, then both coordinates (SEC 1, section 2.3.3).
            match point.data().split_first() {
                Some((4, both)) if both.len() == 64 => {
                    let (x, y) = both.split_at(32);
                    Ok(json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) }))
                }
                _ => Err(UnusableCertificate::OtherKey),
            }
        }
        _ => Err(UnusableCertificate::OtherKey),
    }
}

const RSA_BYTES_MIN: usize = 256;
