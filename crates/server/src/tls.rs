//! Our own certificate authority, and the certificate that this server shows.
//!
//! The authority's key stays in the data folder for ten years; people give its certificate to
//! their clients once. The server's certificate is made anew at every start, and when the server is told
//! to; or it comes from files of the operator's, and is read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::RwLock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::data::{DataError, DataFolder};

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A name that no certificate can carry.
    #[error("{name:?} cannot be the name of a certificate: give host names or addresses to --tls-name")]
    Name { name: String },
    /// The stored key or certificate is damaged.
    #[error(
        "the certificate authority in {file} is damaged: restore it, or remove it to have a new one made"
    )]
    Authority { file: &'static str },
    /// A file of the operator's cannot be used.
    #[error("the file {} cannot be used for TLS: {why}; see --tls-cert and --tls-key", path.display())]
    File { path: PathBuf, why: String },
    /// The folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The library refused what we made.
    #[error("the certificate could not be made: {0}")]
    Make(String),
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Our own authority, for these names (host names and addresses).
    Own { data: DataFolder, names: Vec<String> },
    /// Files of the operator's: a chain, and its key.
    Files { certificate: PathBuf, key: PathBuf },
}

/// The certificate that is shown now. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    source: Source,
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// The certificate of `source`, as it is on `today`.
    pub(crate) fn open(source: Source, today: Date) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(Arc::new(source.certified(today)?)));
        Ok(Self { source, current })
    }

    /// The configuration of the HTTPS listener: it always shows the current certificate.
    pub(crate) fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let builder = rustls::ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Makes or reads the certificate again, for the connections from now on. `false`: the files hold
    /// what they held.
    ///
    /// # Errors
    /// [`TlsError`]; then the old one is shown on.
    pub(crate) fn renew(&self, today: Date) -> Result<bool, TlsError> {
        let fresh = self.source.certified(today)?;
        let mut current = self.current.write();
        let is_new = current.cert != fresh.cert;
        *current = Arc::new(fresh);
        Ok(is_new)
    }

    /// True if it changes beside us, without our being told.
    pub(crate) fn is_from_files(&self) -> bool {
        matches!(self.source, Source::Files { .. })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

impl Source {
    fn certified(&self, today: Date) -> Result<CertifiedKey, TlsError> {
        match self {
            Self::Own { data, names } => own(data, names, today),
            Self::Files { certificate, key } => of_files(certificate, key),
        }
    }
}

fn of_files(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let unusable = |path: &Path, why: String| TlsError::File { path: path.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "it holds no certificate".to_owned()));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key_der, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            unusable(key, format!("it is not the key of the certificate in {}", certificate.display()))
        }
        error => unusable(certificate, error.to_string()),
    })
}

fn own(data: &DataFolder, names: &[String], today: Date) -> Result<CertifiedKey, TlsError> {
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
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(vec![certificate.der().clone()], key, &provider)
        .map_err(|error| TlsError::Make(error.to_string()))
}

fn authority(data: &DataFolder, today: Date) -> Result<Issuer<'static, KeyPair>, TlsError> {
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
        CertificateDer::from_pem_file(&path).map_err(|_| TlsError::Authority { file: CA_CERTIFICATE })?;
    } else {
        let certificate = params.self_signed(&key).map_err(made)?;
        data.write(CA_CERTIFICATE, certificate.pem().as_bytes(), 0o600)?;
    }
    Ok(Issuer::new(params, key))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, today: Date, days: i64) -> Result<(), TlsError> {
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
