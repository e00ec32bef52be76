//! The settings of `serve`: flags, then `LAZARET_*`, then a TOML file, then defaults.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use assessment::{Amount, Currency, RateCard};
use blobstore::KeepFree;
use clap::Args;
use events::{MailSetupError, Mailer, SendLimits};
use ipnet::IpNet;
use metastore::Metastore;
use serde::{Deserialize, Serialize};
use upstream::{Host, InvalidHost};

use crate::Failure;
use crate::log::LogFormat;
use crate::size::Size;

/// What may be set, each once by flag or environment and once in the file, under the same name.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ServeOptions {
    /// A TOML file with any of these options.
    #[arg(long, env = "LAZARET_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder [default: lazaret-data].
    #[arg(long, env = "LAZARET_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen in plain HTTP: an address or a name with a port, `0.0.0.0:5000` for every address of
    /// this machine [default: 127.0.0.1:5000].
    #[arg(long, env = "LAZARET_LISTEN", value_name = "HOST:PORT")]
    listen: Option<Address>,
    /// Where to listen in HTTPS [default: 127.0.0.1:5443].
    #[arg(long, env = "LAZARET_LISTEN_TLS", value_name = "HOST:PORT")]
    listen_tls: Option<Address>,
    /// A further host name or address for the certificate; may be repeated.
    #[arg(long, env = "LAZARET_TLS_NAME", value_name = "NAME", value_delimiter = ',')]
    #[serde(default)]
    tls_name: Vec<String>,
    /// The certificate to show in HTTPS instead of one of our own authority: a chain in PEM. It is read
    /// again when it changes, and on SIGHUP.
    #[arg(long, env = "LAZARET_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, env = "LAZARET_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Each registry is served at NAME before this domain; the certificate covers them
    /// [default: lazaret.localhost].
    #[arg(long, env = "LAZARET_DOMAIN", value_name = "DOMAIN")]
    domain: Option<String>,
    /// A network or address of a reverse proxy that is believed what it says of its clients (`X-Forwarded-*`,
    /// `Forwarded`); may be repeated [default: none].
    #[arg(long, env = "LAZARET_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    #[serde(default)]
    trusted_proxies: Vec<String>,
    /// Debian's security tracker, as one JSON document.
    #[arg(long, env = "LAZARET_DEBIAN_URL", value_name = "URL")]
    debian_url: Option<String>,
    /// The folder that holds Alpine's secdb.
    #[arg(long, env = "LAZARET_ALPINE_URL", value_name = "URL")]
    alpine_url: Option<String>,
    /// Hours between two looks for new advisory data; 0 never looks [default: 6].
    #[arg(long, env = "LAZARET_FEEDS_EVERY_HOURS", value_name = "HOURS")]
    feeds_every_hours: Option<u32>,
    /// Refuse a feed that has lost more than this share of its records [default: 20].
    #[arg(long, env = "LAZARET_SHRINK_MAX_PERCENT", value_name = "PERCENT",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    shrink_max_percent: Option<u8>,
    /// Days after which advisory data that no source has confirmed is too old [default: 14].
    #[arg(long, env = "LAZARET_STALE_AFTER_DAYS", value_name = "DAYS")]
    stale_after_days: Option<u32>,
    /// Take indexes that name images which the repository does not hold, as mirrors of some platforms
    /// have them.
    #[arg(long, env = "LAZARET_SPARSE_INDEXES")]
    #[serde(default)]
    sparse_indexes: bool,
    /// Requests that one principal may send to the registry a minute; 0 allows any number [default: 0].
    #[arg(long, env = "LAZARET_REQUESTS_PER_MINUTE", value_name = "COUNT")]
    requests_per_minute: Option<u32>,
    /// What one image digest costs in a month in which it is judged [default: 0].
    #[arg(long, env = "LAZARET_PRICE_PER_IMAGE", value_name = "AMOUNT")]
    #[serde(default, deserialize_with = "parsed")]
    price_per_image: Option<Amount>,
    /// The currency of the price [default: USD].
    #[arg(long, env = "LAZARET_CURRENCY", value_name = "CODE")]
    #[serde(default, deserialize_with = "parsed")]
    currency: Option<Currency>,
    /// What assessments are called: `own` (powered by Lazaret), `azure` for tools that compare the whole name with
    /// Azure's of today, or `historic` for those that compare it with Azure's first. Queries of Resource Graph that
    /// look for any of Azure's names in any column find it whatever is set [default: own].
    #[arg(long, env = "LAZARET_DISPLAY_NAMES", value_name = "WHICH")]
    display_names: Option<DisplayNames>,
    /// The host (and port) by which others know the registry, for results that are read in bulk, and for links
    /// [default: the first --tls-name or the address that is listened on; localhost if it listens there alone].
    #[arg(long, env = "LAZARET_LOGIN_SERVER", value_name = "HOST")]
    login_server: Option<String>,
    /// Seconds for which the pull-through cache takes a tag for right without asking again [default: 300].
    #[arg(long, env = "LAZARET_CACHE_FRESH_SECONDS", value_name = "SECONDS")]
    cache_fresh_seconds: Option<u32>,
    /// What stays free on the data folder's disk, such as 1GiB or 0: with less, pushes are refused as on a full disk,
    /// while pulls and deletions go on [default: a twentieth of the disk, 1GiB at most].
    #[arg(long, env = "LAZARET_MIN_FREE_BYTES", value_name = "SIZE")]
    min_free_bytes: Option<Size>,
    /// A registry in a private network, or with `http://` before it one without TLS, from which callers of the
    /// Azure API may import images; those at public addresses they may import from anyhow. May be repeated.
    #[arg(long, env = "LAZARET_IMPORT_FROM", value_name = "HOST", value_delimiter = ',')]
    #[serde(default)]
    import_from: Vec<String>,
    /// How often one caller may ask Resource Graph in five seconds [default: 15, as Azure has it].
    #[arg(long, env = "LAZARET_QUERIES", value_name = "COUNT")]
    queries: Option<u32>,
    /// Let webhooks send to this machine itself, too. Whoever may make webhooks then reaches what listens
    /// here for this machine alone.
    #[arg(long, env = "LAZARET_WEBHOOK_LOOPBACK")]
    #[serde(default)]
    webhook_loopback: bool,
    /// The relay for webhooks that send mail: `smtp://NAME:PASSWORD@mail.example:587?tls=required`, or `smtps://…`.
    #[arg(long, env = "LAZARET_SMTP_URL", value_name = "URL", hide_env_values = true)]
    smtp_url: Option<String>,
    /// The address that mails come from; goes with --smtp-url.
    #[arg(long, env = "LAZARET_MAIL_FROM", value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// How log lines are written: `text` for people, `json` for log collectors [default: text]. Which lines are
    /// logged is for LAZARET_LOG: error, warn, info, debug or trace [default: info].
    #[arg(long, env = "LAZARET_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Log a line for each request, at the level info.
    #[arg(long, env = "LAZARET_LOG_REQUESTS")]
    #[serde(default)]
    log_requests: bool,
}

/// Other prices than the server's.
#[derive(Clone, Debug, Args)]
pub(crate) struct RateArgs {
    /// What one image digest costs in a month in which it is judged [default: as the server was told].
    #[arg(long, env = "LAZARET_PRICE_PER_IMAGE", value_name = "AMOUNT")]
    price_per_image: Option<Amount>,
    /// The currency of the price [default: as the server was told].
    #[arg(long, env = "LAZARET_CURRENCY", value_name = "CODE")]
    currency: Option<Currency>,
}

impl RateArgs {
    /// These prices, and the server's where none is given.
    pub(crate) fn settle(self, told: &Told) -> RateCard {
        RateCard {
            per_image: self.price_per_image.unwrap_or(told.rates.per_image),
            currency: self.currency.unwrap_or_else(|| told.rates.currency.clone()),
        }
    }
}

/// What the server was told and commands beside it must know to answer as it does. It is kept in the database at
/// each start, and read by every command that depends on it (decision 12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) rates: RateCard,
    pub(crate) display_names: DisplayNames,
    pub(crate) login_server: String,
    pub(crate) domain: String,
    pub(crate) stale_after_days: u32,
    pub(crate) shrink_max_percent: u8,
    pub(crate) debian_url: String,
    pub(crate) alpine_url: String,
}

/// [`Told`] as it is stored: one document, in which a release may miss what an earlier one did not know.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct StoredTold {
    price_per_image: Option<String>,
    currency: Option<String>,
    display_names: Option<DisplayNames>,
    login_server: Option<String>,
    domain: Option<String>,
    stale_after_days: Option<u32>,
    shrink_max_percent: Option<u8>,
    debian_url: Option<String>,
    alpine_url: Option<String>,
}

impl Told {
    pub(crate) fn of(settings: &Settings, login_server: String) -> Self {
        Self {
            rates: settings.rates.clone(),
            display_names: settings.display_names,
            login_server,
            domain: settings.domain.clone(),
            stale_after_days: settings.stale_after_days,
            shrink_max_percent: settings.shrink_max_percent,
            debian_url: settings.debian_url.clone(),
            alpine_url: settings.alpine_url.clone(),
        }
    }

    /// Keeps it for the commands.
    pub(crate) async fn keep(&self, metastore: &Metastore) -> Result<(), Failure> {
        let told = self.clone();
        let stored = StoredTold {
            price_per_image: Some(told.rates.per_image.to_string()),
            currency: Some(told.rates.currency.code().to_owned()),
            display_names: Some(told.display_names),
            login_server: Some(told.login_server),
            domain: Some(told.domain),
            stale_after_days: Some(told.stale_after_days),
            shrink_max_percent: Some(told.shrink_max_percent),
            debian_url: Some(told.debian_url),
            alpine_url: Some(told.alpine_url),
        };
        Ok(metastore.put_server_settings(serde_json::to_string(&stored)?).await?)
    }

    /// What the server on these rows was told when it last started, and the defaults where it has not.
    pub(crate) async fn read(metastore: &Metastore) -> Result<Self, Failure> {
        let stored: StoredTold = match metastore.server_settings().await? {
            Some(document) => serde_json::from_str(&document).map_err(|error| {
                format!("the settings of the server that the database keeps do not read: {error}")
            })?,
            None => StoredTold::default(),
        };
        Ok(Self {
            rates: RateCard {
                per_image: stored.price_per_image.as_deref().map(str::parse).transpose()?.unwrap_or_default(),
                currency: stored.currency.as_deref().map(str::parse).transpose()?.unwrap_or_default(),
            },
            display_names: stored.display_names.unwrap_or_default(),
            login_server: stored.login_server.unwrap_or_else(|| LOGIN_SERVER.to_owned()),
            domain: stored.domain.unwrap_or_else(|| DOMAIN.to_owned()),
            stale_after_days: stored.stale_after_days.unwrap_or(STALE_AFTER_DAYS),
            shrink_max_percent: stored.shrink_max_percent.unwrap_or(SHRINK_MAX_PERCENT),
            debian_url: stored.debian_url.unwrap_or_else(|| feeds::DEBIAN_URL.to_owned()),
            alpine_url: stored.alpine_url.unwrap_or_else(|| feeds::ALPINE_URL.to_owned()),
        })
    }
}

/// Where to listen: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// No address that can be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "write a host and a port: 127.0.0.1:5000, localhost:5000, [::1]:5000, or 0.0.0.0:5000 for every address, not {0:?}"
)]
pub(crate) struct InvalidAddress(String);

impl std::str::FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        // Digits and points alone are an address, and no good one, or it would have been read above.
        let is_number = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_number || host.len() > 253 || !host.bytes().all(is_name) {
            return Err(invalid());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| invalid())? })
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What is written in quotes in the file, and parsed as a flag is.
fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// See [`azure_documents::Names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DisplayNames {
    #[default]
    Own,
    Azure,
    Historic,
}

impl From<DisplayNames> for azure_documents::Names {
    fn from(names: DisplayNames) -> Self {
        match names {
            DisplayNames::Own => Self::Own,
            DisplayNames::Azure => Self::Azure,
            DisplayNames::Historic => Self::Historic,
        }
    }
}

/// The settings that hold.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: Address,
    pub(crate) listen_tls: Address,
    pub(crate) tls_names: Vec<String>,
    /// A certificate chain and its key.
    pub(crate) tls_files: Option<(PathBuf, PathBuf)>,
    pub(crate) domain: String,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) debian_url: String,
    pub(crate) alpine_url: String,
    pub(crate) feeds_every_hours: u32,
    pub(crate) shrink_max_percent: u8,
    pub(crate) stale_after_days: u32,
    pub(crate) sparse_indexes: bool,
    pub(crate) requests_per_minute: u32,
    pub(crate) rates: RateCard,
    pub(crate) display_names: DisplayNames,
    /// What the operator says; [`Settings::login_server`] settles the rest.
    pub(crate) login_server: Option<String>,
    pub(crate) cache_fresh_seconds: u32,
    pub(crate) keep_free: KeepFree,
    pub(crate) import_from: Vec<Host>,
    pub(crate) queries: u32,
    pub(crate) webhook_loopback: bool,
    pub(crate) mailer: Option<Mailer>,
    pub(crate) log_requests: bool,
}

/// Why the settings cannot hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// No file there.
    #[error("the configuration file {} cannot be read", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// A wrong name or value, with its line.
    #[error("the configuration file {} is wrong", path.display())]
    Toml { path: PathBuf, source: Box<toml::de::Error> },
    /// Out of range.
    #[error("shrink-max-percent is a share from 0 to 100, not {0}")]
    Percent(u8),
    /// A certificate is of no use without its key.
    #[error("tls-cert and tls-key belong together: set both, or neither")]
    HalfCertificate,
    /// Nothing is mailed without both.
    #[error("smtp-url and mail-from belong together: set both, or neither")]
    HalfMail,
    /// Not a relay, or not an address.
    #[error("webhooks cannot send mail")]
    Mail(#[from] MailSetupError),
    /// One that no certificate can cover, or no name at all.
    #[error("domain is a DNS name of two or more labels, such as registry.example.com, not {0:?}")]
    Domain(String),
    /// No registry.
    #[error("import-from: {0}")]
    ImportFrom(#[from] InvalidHost),
    /// Nothing can be fetched from there.
    #[error("{option} is an http or https URL, such as https://mirror.example/debian.json, not {url:?}")]
    Source { option: &'static str, url: String },
    /// No network, or a name.
    #[error("trusted-proxies are networks or addresses, such as 10.0.0.0/8 or ::1, not {0:?}")]
    Proxy(String),
}

impl ServeOptions {
    /// How log lines are written. A file that cannot be read is for [`Self::settle`] to refuse.
    pub(crate) fn log_format(&self) -> LogFormat {
        let in_file = || self.config.as_deref().and_then(|path| read(path).ok())?.log_format;
        self.log_format.or_else(in_file).unwrap_or_default()
    }

    /// Adds the file's options to those given, and the defaults to both.
    pub(crate) fn settle(self) -> Result<Settings, SettingsError> {
        let file = self.config.as_deref().map_or_else(|| Ok(Self::default()), read)?;
        let default = |port| Address::from(SocketAddr::from(([127, 0, 0, 1], port)));
        let shrink_max_percent =
            self.shrink_max_percent.or(file.shrink_max_percent).unwrap_or(SHRINK_MAX_PERCENT);
        if shrink_max_percent > 100 {
            return Err(SettingsError::Percent(shrink_max_percent));
        }
        let domain = self.domain.or(file.domain).unwrap_or_else(|| DOMAIN.to_owned());
        if !is_domain(&domain) {
            return Err(SettingsError::Domain(domain));
        }
        let proxies =
            if self.trusted_proxies.is_empty() { file.trusted_proxies } else { self.trusted_proxies };
        let network = |text: String| crate::proxy::network(&text).ok_or(SettingsError::Proxy(text));
        let trusted_proxies = proxies.into_iter().map(network).collect::<Result<_, _>>()?;
        let import_from = if self.import_from.is_empty() { file.import_from } else { self.import_from };
        let import_from = import_from.iter().map(|host| host.parse()).collect::<Result<_, _>>()?;
        let debian_url = self.debian_url.or(file.debian_url).unwrap_or_else(|| feeds::DEBIAN_URL.to_owned());
        let alpine_url = self.alpine_url.or(file.alpine_url).unwrap_or_else(|| feeds::ALPINE_URL.to_owned());
        check_sources(&debian_url, &alpine_url)?;
        let tls_files = match (self.tls_cert.or(file.tls_cert), self.tls_key.or(file.tls_key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(SettingsError::HalfCertificate),
        };
        let mailer = match (self.smtp_url.or(file.smtp_url), self.mail_from.or(file.mail_from)) {
            (Some(relay), Some(from)) => Some(Mailer::new(&relay, &from, SendLimits::default().whole)?),
            (None, None) => None,
            _ => return Err(SettingsError::HalfMail),
        };
        Ok(Settings {
            mailer,
            log_requests: self.log_requests || file.log_requests,
            tls_files,
            data: self.data.or(file.data).unwrap_or_else(|| DATA.into()),
            listen: self.listen.or(file.listen).unwrap_or_else(|| default(5000)),
            listen_tls: self.listen_tls.or(file.listen_tls).unwrap_or_else(|| default(5443)),
            tls_names: if self.tls_name.is_empty() { file.tls_name } else { self.tls_name },
            domain,
            trusted_proxies,
            debian_url,
            alpine_url,
            feeds_every_hours: self.feeds_every_hours.or(file.feeds_every_hours).unwrap_or(FEEDS_EVERY_HOURS),
            shrink_max_percent,
            stale_after_days: self.stale_after_days.or(file.stale_after_days).unwrap_or(STALE_AFTER_DAYS),
            sparse_indexes: self.sparse_indexes || file.sparse_indexes,
            requests_per_minute: self.requests_per_minute.or(file.requests_per_minute).unwrap_or(0),
            rates: RateCard {
                per_image: self.price_per_image.or(file.price_per_image).unwrap_or_default(),
                currency: self.currency.or(file.currency).unwrap_or_default(),
            },
            display_names: self.display_names.or(file.display_names).unwrap_or_default(),
            login_server: self.login_server.or(file.login_server),
            cache_fresh_seconds: self
                .cache_fresh_seconds
                .or(file.cache_fresh_seconds)
                .unwrap_or(CACHE_FRESH_SECONDS),
            keep_free: match self.min_free_bytes.or(file.min_free_bytes) {
                Some(Size(bytes)) => KeepFree::Bytes(bytes),
                None => KeepFree::Share,
            },
            import_from,
            queries: self.queries.or(file.queries).unwrap_or(query_api::QUERIES_PER_WINDOW),
            webhook_loopback: self.webhook_loopback || file.webhook_loopback,
        })
    }
}

impl Settings {
    /// The host and port by which clients know the registry. `plain` and `secure` are what is listened on.
    pub(crate) fn login_server(&self, plain: SocketAddr, secure: SocketAddr) -> String {
        if let Some(told) = &self.login_server {
            return told.clone();
        }
        let named = |host: &str, port: u16| Address { host: host.to_owned(), port }.to_string();
        if !secure.ip().is_loopback() {
            // Others come by TLS: by a name that the certificate covers.
            let name = self.tls_names.iter().find(|name| !name.starts_with('*'));
            let address = || (!secure.ip().is_unspecified()).then(|| secure.ip().to_string());
            if let Some(host) = name.cloned().or_else(address) {
                return if secure.port() == 443 { host } else { named(&host, secure.port()) };
            }
        }
        if !plain.ip().is_loopback() && !plain.ip().is_unspecified() {
            return plain.to_string();
        }
        named("localhost", plain.port())
    }
}

/// Of two labels at least: clients take no certificate for `*.com`.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= 200 && domain.contains('.') && domain.split('.').all(is_label)
}

fn read(path: &Path) -> Result<ServeOptions, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::File { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| SettingsError::Toml { path: path.to_owned(), source: Box::new(source) })
}

/// An empty URL leaves its source out.
pub(crate) fn check_sources(debian_url: &str, alpine_url: &str) -> Result<(), SettingsError> {
    for (option, url) in [("debian-url", debian_url), ("alpine-url", alpine_url)] {
        if !url.is_empty() && !feeds::is_source_url(url) {
            return Err(SettingsError::Source { option, url: url.to_owned() });
        }
    }
    Ok(())
}

/// Where the server listens if nobody says otherwise.
pub(crate) const LOGIN_SERVER: &str = "localhost:5000";
/// Names beneath `localhost` are this machine's (RFC 6761).
pub(crate) const DOMAIN: &str = "lazaret.localhost";

/// In the folder that the program is started in.
pub(crate) const DATA: &str = "lazaret-data";

pub(crate) const SHRINK_MAX_PERCENT: u8 = 20;

/// Two weeks: no distribution goes so long without an advisory.
pub(crate) const STALE_AFTER_DAYS: u32 = 14;

const FEEDS_EVERY_HOURS: u32 = 6;

/// Registries that count pulls allow dozens an hour; images that move are waited for minutes.
const CACHE_FRESH_SECONDS: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lazaret.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:7000\"\nstale-after-days = 3\n").expect("writes");
        let options =
            ServeOptions { config: Some(path), stale_after_days: Some(5), ..ServeOptions::default() };
        let settings = options.settle().expect("valid");
        assert_eq!(settings.listen.port, 7000);
        assert_eq!(settings.stale_after_days, 5);
        assert_eq!(settings.listen_tls.port, 5443);
    }

    #[test]
    fn a_wrong_file_says_what_and_where() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lazaret.toml");
        for (text, wanted) in [
            ("lisen = \"127.0.0.1:1\"", "unknown field `lisen`"),
            ("\nlisten = \"nowhere\"", "line 2"),
            ("listen = \"nowhere\"", "write a host and a port"),
            ("listen = \"1.2.3.400:80\"", "write a host and a port"),
            ("listen = \"localhost:65536\"", "write a host and a port"),
            ("shrink-max-percent = 101", "from 0 to 100"),
            ("price-per-image = \"0,29\"", "written like 0.29"),
            ("tls-cert = \"a.pem\"", "tls-key belong together"),
            ("domain = \"example\"", "two or more labels"),
            ("domain = \"-a.example\"", "two or more labels"),
            ("currency = \"dollars\"", "three capital letters"),
            ("trusted-proxies = [\"10.0.0.0/33\"]", "such as 10.0.0.0/8"),
            ("import-from = [\"a/b\"]", "is not a registry"),
            ("debian-url = \"notaurl\"", "such as https://mirror.example/debian.json"),
            ("alpine-url = \"ftp://mirror.example/\"", "an http or https URL"),
            ("min-free-bytes = \"1 acre\"", "such as 500MB or 1.5GiB"),
        ] {
            std::fs::write(&path, text).expect("writes");
            let options = ServeOptions { config: Some(path.clone()), ..ServeOptions::default() };
            // As it is shown: with what is beneath it.
            let error = options.settle().expect_err("wrong");
            let beneath = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let error = format!("{error}: {beneath}");
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn an_address_may_be_a_name() {
        for (text, host, port) in [
            ("localhost:5000", "localhost", 5000),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:5443", "::1", 5443),
            ("registry.example.com:443", "registry.example.com", 443),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!((&*address.host, address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
        for wrong in ["", ":5000", "5000", "localhost", "::1:5000", "a b:1", "10.0.0:80", "[::1]"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn clients_are_told_a_login_server_that_they_can_use() {
        let settings = |names: &[&str], told: Option<&str>| {
            let tls_name = names.iter().map(|name| (*name).to_owned()).collect();
            let login_server = told.map(str::to_owned);
            ServeOptions { tls_name, login_server, ..ServeOptions::default() }.settle().expect("valid")
        };
        for (names, plain, secure, wanted) in [
            (&[][..], "127.0.0.1:5000", "127.0.0.1:5443", "localhost:5000"),
            (&[], "[::1]:5001", "127.0.0.1:5443", "localhost:5001"),
            (&[], "0.0.0.0:5000", "127.0.0.1:5443", "localhost:5000"),
            (&[], "0.0.0.0:5000", "0.0.0.0:5443", "localhost:5000"),
            (&[], "10.0.0.5:5000", "127.0.0.1:5443", "10.0.0.5:5000"),
            (&["*.r.example", "r.example"], "127.0.0.1:5000", "0.0.0.0:5443", "r.example:5443"),
            (&["r.example"], "127.0.0.1:5000", "[::]:443", "r.example"),
            (&[], "127.0.0.1:5000", "[fd00::5]:5443", "[fd00::5]:5443"),
            (&["r.example"], "127.0.0.1:5000", "127.0.0.1:5443", "localhost:5000"),
        ] {
            let (plain, secure) = (plain.parse().expect("an address"), secure.parse().expect("an address"));
            assert_eq!(settings(names, None).login_server(plain, secure), wanted);
            assert_eq!(settings(names, Some("told:1")).login_server(plain, secure), "told:1");
        }
    }
}
