//! Our own certificate authority, and the certificate that this server shows.
//!
//! The authority's key stays in the data folder for ten years; people give its certificate to
//! their clients once. The server's certificate is made anew at every start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::data::{DataError, DataFolder};

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A name that no certificate can carry.
    #[error("{name:?} is no name for a certificate: give host names or addresses to --tls-name")]
    Name { name: String },
    /// The stored key or certificate is damaged.
    #[error(
        "the certificate authority in {file} is damaged: restore it, or remove it to have a new one made"
    )]
    Authority { file: &'static str },
    /// The folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The library refused what we made.
    #[error("the certificate could not be made: {0}")]
    Make(String),
}

/// The configuration of the HTTPS listener, for `names` (host names and addresses), on `today`.
pub(crate) fn server_config(
    data: &DataFolder,
    names: &[String],
    today: jiff::civil::Date,
) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let issuer = authority(data, today)?;
    let mut params = CertificateParams::new(names).map_err(|_| TlsError::Name { name: names.join(", ") })?;
    params.distinguished_name = named("Lazaret");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, today, SERVER_DAYS)?;
    let made = |error: rcgen::Error| TlsError::Make(error.to_string());
    let key = KeyPair::generate().map_err(made)?;
    let certificate = params.signed_by(&key, &issuer).map_err(made)?;
    let key =
        PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| TlsError::Make(error.to_owned()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(|error| TlsError::Make(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn authority(data: &DataFolder, today: jiff::civil::Date) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let made = |error: rcgen::Error| TlsError::Make(error.to_string());
    let damaged = TlsError::Authority { file: CA_KEY };
    let pem = data
        .secret(CA_KEY, || KeyPair::generate().map(|key| key.serialize_pem().into()).unwrap_or_default())?;
    let pem = String::from_utf8(pem).map_err(|_| TlsError::Authority { file: CA_KEY })?;
    let key = KeyPair::from_pem(&pem).map_err(|_| damaged)?;

    let mut params = CertificateParams::default();
    params.distinguished_name = named("Lazaret certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, today, CA_DAYS)?;
    let path = data.path(CA_CERTIFICATE);
    let exists = path.try_exists().map_err(|source| DataError::File { path: path.clone(), source })?;
    if exists {
        // Clients hold this very certificate: it is never made again while it is there.
        rustls::pki_types::CertificateDer::from_pem_file(&path)
            .map_err(|_| TlsError::Authority { file: CA_CERTIFICATE })?;
    } else {
        let certificate = params.self_signed(&key).map_err(made)?;
        data.write(CA_CERTIFICATE, certificate.pem().as_bytes(), 0o644)?;
    }
    Ok(Issuer::new(params, key))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, today: jiff::civil::Date, days: i64) -> Result<(), TlsError> {
    use jiff::ToSpan as _;
    // A day back: clocks of clients differ.
    let ends = [today.checked_sub(1.day()), today.checked_add(days.days())];
    let [from, to] = ends.map(|day| {
        let day = day.map_err(|error| TlsError::Make(error.to_string()))?;
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        Ok::<_, TlsError>(rcgen::date_time_ymd(i32::from(day.year()), part(day.month()), part(day.day())))
    });
    params.not_before = from?;
    params.not_after = to?;
    Ok(())
}

/// What people give to their clients.
pub(crate) const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";

const CA_DAYS: i64 = 3650;

/// The longest that browsers accept.
const SERVER_DAYS: i64 = 397;
