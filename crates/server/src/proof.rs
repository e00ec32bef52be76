//! Certificates and keys, as files: by what a principal proves itself instead of a secret.

use std::path::Path;

use auth::{ASSERTION_KEYS_MAX, Certificate, are_keys};
use clap::Args;
use metastore::{Issuer, Proof};
use x509_parser::pem::Pem;

use crate::Failure;

/// What a principal has instead of a secret.
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// Instead of a secret: a certificate in PEM, whose key signs (RSA, or P-256). It ends when the certificate does, at
    /// the latest. Who issued it does not matter.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["issuer", "subject", "keys"])]
    certificate: Option<std::path::PathBuf>,
    /// Instead of a secret: the issuer of tokens that stand for the principal (workload identity federation), as their
    /// `iss` names it.
    #[arg(long, value_name = "URL", requires_all = ["subject", "keys"])]
    issuer: Option<String>,
    /// What the issuer calls it, as their `sub` names it.
    #[arg(long, value_name = "TEXT", requires = "issuer")]
    subject: Option<String>,
    /// The issuer's public keys: the JSON document at its `jwks_uri`. They are not fetched: give new ones in time.
    #[arg(long, value_name = "FILE", requires = "issuer")]
    keys: Option<std::path::PathBuf>,
    /// Whom the issuer's tokens are for, as their `aud` names it.
    #[arg(long, value_name = "TEXT", requires = "issuer", default_value = "api://AzureADTokenExchange")]
    audience: String,
}

impl ProofArgs {
    /// The proof, and when it ends by itself (milliseconds since 1970, UTC); `None`: a secret is wanted.
    pub(crate) fn settle(&self) -> Result<Option<(Proof, Option<i64>)>, Failure> {
        if let Some(path) = &self.certificate {
            let (keys, end_ms) = certificate(&read(path)?)
                .map_err(|why| format!("{} holds no certificate that can be used: {why}", path.display()))?;
            return Ok(Some((Proof::Keys { keys, issuer: None }, Some(end_ms))));
        }
        let (Some(issuer), Some(subject), Some(path)) = (&self.issuer, &self.subject, &self.keys) else {
            return Ok(None);
        };
        let keys = String::from_utf8(read(path)?).unwrap_or_default();
        if !are_keys(&keys) {
            return Err(format!(
                "{} is not a set of 1 to {ASSERTION_KEYS_MAX} RSA or P-256 keys (RFC 7517)",
                path.display()
            )
            .into());
        }
        let [issuer, subject, audience] = [issuer, subject, &self.audience].map(Clone::clone);
        if [&issuer, &subject, &audience].iter().any(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
            return Err(format!(
                "an issuer, a subject and an audience have 1 to {TEXT_BYTES_MAX} bytes each"
            )
            .into());
        }
        Ok(Some((Proof::Keys { keys, issuer: Some(Issuer { issuer, subject, audience }) }, None)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| format!("{} cannot be read: {error}", path.display());
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > FILE_BYTES_MAX {
        return Err(format!("{} has {len} bytes: {FILE_BYTES_MAX} are enough", path.display()).into());
    }
    Ok(std::fs::read(path).map_err(failed)?)
}

/// The key of the first certificate in a file, as a set of one, and when the certificate ends. A private key that stands
/// beside it, as Azure's clients want it, is not looked at.
fn certificate(pem: &[u8]) -> Result<(String, i64), String> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    let block = blocks.into_iter().find(|block| block.label == "CERTIFICATE");
    let block = block.ok_or("it holds none in PEM")?;
    let found = Certificate::from_der(&block.contents).map_err(|error| error.to_string())?;
    Ok((found.keys, found.end_ms))
}

const FILE_BYTES_MAX: u64 = 256 << 10;
const TEXT_BYTES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_p256_is_a_key_and_an_end() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let mut wanted = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        wanted.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let made = wanted.self_signed(&pair).expect("a certificate");
        let both = format!("{}{}", pair.serialize_pem(), made.pem());
        let (keys, end_ms) = certificate(both.as_bytes()).expect("one");
        assert!(are_keys(&keys) && keys.contains("P-256"), "{keys}");
        assert_eq!(end_ms, 1_893_456_000_000);
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let made = rcgen::CertificateParams::new(Vec::new()).expect("parameters").self_signed(&other);
        let refused = certificate(made.expect("a certificate").pem().as_bytes());
        assert!(refused.expect_err("Ed25519").contains("neither RSA"));
        for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x"] {
            assert!(certificate(text.as_bytes()).is_err(), "{text}");
        }
    }
}
