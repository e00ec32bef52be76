//! `lazaret serve`: puts the house together, and takes it down in order.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::{AuditLog, Auth};
use axum::{Extension, Router};
use blobstore::BlobStore;
use events::{Dispatcher, Reach, SendLimits, Sender};
use feeds::{Feeds, FeedsError, Sources};
use jobs::{Clock, Jobs};
use metastore::Metastore;
use mirror::{Cache, CacheSettings};
use query_api::{Graph, Hosts, Tables};
use registry::{Collected, Registry as RegistryEngine, StoreError};
use sandbox::{Jail, JailLimits};
use scanner::{Advisories, LayerReader, ReaderLimits, Scanner, UploadReader};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::data::DataFolder;
use crate::first_start::{ADMINISTRATOR, PASSWORD_FILE, Tenancy, first_start};
use crate::health::Health;
use crate::listen::{ListenError, Listener, raise_descriptor_limit};
use crate::local::{Asked, LocalDoor};
use crate::output::{causes, say};
use crate::proxy::{self, Front, Proxies};
use crate::settings::{ServeOptions, Settings, Told};
use crate::{Failure, access_log, audit, now_ms, registry_command, space, tls};

/// Runs until it is told to stop by SIGTERM or SIGINT, then drains.
pub(crate) async fn serve(options: ServeOptions) -> Result<(), Failure> {
    let settings = options.settle()?;
    let data = DataFolder::create(&settings.data)?;
    let _lock = data.lock()?;
    // Sockets before anything is made: a busy port must leave the folder as it was.
    raise_descriptor_limit();
    let plain = Listener::bind(&settings.listen, None, "--listen").await?;
    let certificates = tls::Certificates::open(certificate_source(&settings, &data), today())?;
    let tls = certificates.server_config();
    let secure = Listener::bind(&settings.listen_tls, Some(tls), "--listen-tls").await;
    let secure = secure.map_err(|error| match error {
        ListenError::InUse { address, .. } if address.port == plain.address().port() => {
            ListenError::Both { port: address.port }
        }
        other => other,
    })?;
    let told = Told::of(&settings, settings.login_server(plain.address(), secure.address()));

    data.keep_reserve()?;
    let metastore = data.metastore()?;
    let tenancy = first_start(&data, &metastore, now_ms()).await?;
    told.keep(&metastore).await?;
    let house = House::build(&data, &settings, metastore, &tenancy, &base_url(&told, &plain)).await?;
    house.recover(&data).await?;
    let (router, graph) = house.router(&settings, &told, &tenancy).await?;
    let door = LocalDoor::open(&data);
    let local = Asked { graph, registry: house.registry.clone(), data: data.clone() };
    // Before anybody is told that it serves: who stops it then is heard.
    let stopped = Stopped::listen()?;
    say_hello(&settings, &told, &plain, &secure, &tenancy);

    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    let house_registry = house.registry.clone();
    let mut router = with_rate_limit(router, settings.requests_per_minute);
    if settings.log_requests {
        router = router.layer(axum::middleware::from_fn(access_log::log));
    }
    let router = router.layer(axum::middleware::from_fn_with_state(house.audit.clone(), audit::watch));
    let proxies = Proxies::new(&settings.trusted_proxies);
    tasks.spawn(plain.serve(behind(router.clone(), &proxies, "http"), stop.clone()));
    tasks.spawn(secure.serve(behind(router, &proxies, "https"), stop.clone()));
    match door {
        Ok(door) => drop(tasks.spawn(door.serve(local, stop.clone()))),
        Err(error) => tracing::warn!(
            error = causes(&error),
            "the data folder takes no socket: `lazaret query` reads the database by itself, which takes longer, and \
             `lazaret purge` leaves removing blobs to the hourly look"
        ),
    }
    let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let (jobs, scanner) = (house.jobs.clone(), Arc::new(house.scanner.clone()));
    // The scanner stops after the doors: what the last push queued may still be done.
    let stop_jobs = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop_jobs.clone();
        async move { jobs.run(scanner, workers, stop).await }
    });
    tasks.spawn(renew_certificates(certificates, signal(SignalKind::hangup())?, stop.clone()));
    tasks.spawn({
        let (dispatcher, stop) = (house.dispatcher.clone(), stop.clone());
        async move { dispatcher.run(stop).await }
    });
    let (stop_audit, audit_log) = (CancellationToken::new(), house.audit.clone());
    let keeping = tokio::spawn(audit::keep(audit_log, stop_audit.clone()));
    tasks.spawn(record_pulls(house.registry.clone(), stop.clone()));
    tasks.spawn(notice_changes(house.registry.clone(), stop.clone()));
    tasks.spawn(end_rules(house.metastore.clone(), stop.clone()));
    tasks.spawn(give_memory_back(stop.clone()));
    tasks.spawn(house.keep_fresh(data.clone(), settings.clone(), stop.clone()));

    stopped.wait().await;
    tracing::info!("stopping: requests under way may end");
    house_registry.stopping();
    stop.cancel();
    let breaking_off = tokio::spawn(async move {
        tokio::time::sleep(BREAK_OFF_AFTER).await;
        house_registry.break_off();
    });
    while tasks.join_next().await.is_some() {}
    breaking_off.abort();
    // After the doors: what was refused at the last is written.
    stop_audit.cancel();
    keeping.await?;
    stop_jobs.cancel();
    running.await?;
    tracing::info!("stopped");
    Ok(())
}

/// The engines, put together.
struct House {
    metastore: Metastore,
    blobs: BlobStore,
    auth: Auth,
    registry: RegistryEngine,
    jobs: Jobs,
    scanner: Scanner,
    feeds: Feeds,
    dispatcher: Dispatcher,
    audit: AuditLog,
    rates: assessment::RateCard,
    domain: String,
}

/// The URL by which people reach this server: plain HTTP on this machine, and where nothing else is listened on.
fn base_url(told: &Told, plain: &Listener) -> String {
    let host = &told.login_server;
    let is_local =
        host == "localhost" || host.starts_with("localhost:") || *host == plain.address().to_string();
    format!("{}://{host}", if is_local { "http" } else { "https" })
}

impl House {
    async fn build(
        data: &DataFolder,
        settings: &Settings,
        metastore: Metastore,
        tenancy: &Tenancy,
        base_url: &str,
    ) -> Result<Self, Failure> {
        let clock: Clock = Arc::new(now_ms);
        let blobs = data.blobs()?.keeping_free(settings.keep_free);
        let advisory_blobs = data.advisory_blobs()?.keeping_free(settings.keep_free);
        let room = blobs.clone();
        let reader = LayerReader::new(metastore.clone(), blobs.clone(), jail()?, ReaderLimits::default());
        let jobs = Jobs::new(metastore.clone(), clock.clone());
        let authority = match std::fs::read(data.path(tls::CA_CERTIFICATE)) {
            // Whoever brings a certificate of their own has no authority of ours.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let reach = Reach { loopback: settings.webhook_loopback };
        let sender =
            Sender::new(reach, SendLimits::default(), &authority)?.with_mailer(settings.mailer.clone());
        let dispatcher = Dispatcher::new(metastore.clone(), sender, clock.clone(), base_url);
        let wake = wake(&jobs, &dispatcher);
        let observer = Arc::new(UploadReader::new(reader.clone()));
        let registry = RegistryEngine::new(metastore.clone(), blobs.clone(), observer, wake, clock.clone())
            .with_sparse_indexes(settings.sparse_indexes);
        let advisories = Advisories::new(metastore.clone(), advisory_blobs.clone());
        let stale_after_ms = i64::from(settings.stale_after_days) * DAY_MS;
        let scanner =
            Scanner::new(metastore.clone(), blobs, reader, advisories, clock.clone(), stale_after_ms);
        let feeds = Feeds::new(metastore.clone(), advisory_blobs, settings.shrink_max_percent);
        let key = data.secret("token.key", auth::SigningKey::random_bytes)?;
        let audit = AuditLog::new(metastore.clone());
        let turned_away = {
            let audit = audit.clone();
            Arc::new(move |name: &str| audit::turned_away(&audit, name))
        };
        let auth = Auth::new(metastore.clone(), auth::SigningKey::new(&key)?, tenancy.tenant, clock)
            .telling(turned_away)
            .asked_from(Arc::new(audit::asked_from));
        Ok(Self {
            metastore,
            blobs: room,
            auth,
            registry,
            jobs,
            scanner,
            feeds,
            dispatcher,
            audit,
            rates: settings.rates.clone(),
            domain: settings.domain.clone(),
        })
    }

    /// Puts right what a stop in the middle of things left behind. Nothing else runs yet.
    async fn recover(&self, data: &DataFolder) -> Result<(), Failure> {
        let released = without_room(self.jobs.recover().await, metastore_is_full)?;
        let swept = match data.removing_blobs()? {
            Some(_alone) => without_room(self.registry.sweep().await, StoreError::is_full)?,
            // An import is under way; the next start tidies up.
            None => None,
        };
        let rebuilt = without_room(self.feeds.recover(now_ms()).await, FeedsError::is_full)?;
        let removed = match data.tidying_advisories()? {
            Some(_alone) => without_room(self.feeds.sweep().await, FeedsError::is_full)?,
            // Somebody imports right now; the next start tidies up.
            None => None,
        };
        let swept = swept.unwrap_or_default();
        let (released, removed) = (released.unwrap_or_default(), removed.unwrap_or_default());
        if rebuilt.unwrap_or_default() {
            tracing::info!("the advisory snapshot was made anew from the stored advisory data");
        }
        if released > 0 {
            tracing::info!(scans = released, "scans that the last stop cut short are done again");
        }
        let left = swept.uploads + swept.blobs + swept.expired + removed;
        if left > 0 {
            tracing::info!(
                files = left,
                "removed what the last stop left behind: half-written files and ended uploads"
            );
        }
        Ok(())
    }

    async fn router(
        &self,
        settings: &Settings,
        told: &Told,
        tenancy: &Tenancy,
    ) -> Result<(Router, Graph), Failure> {
        let default =
            self.metastore.registries().await?.into_iter().next().ok_or("the database has no registry")?.id;
        let directory = registry_api::Directory::new(self.metastore.clone(), &self.domain);
        let registry_api = registry_api::router(self.registry.clone(), self.auth.clone(), directory);
        let wake = wake(&self.jobs, &self.dispatcher);
        let azure_api = azure_api::router(azure_api::Parts {
            metastore: self.metastore.clone(),
            auth: self.auth.clone(),
            tenant: tenancy.tenant,
            clock: Arc::new(now_ms),
            rates: self.rates.clone(),
            names: settings.display_names.into(),
            domain: azure_api::Domain {
                name: self.domain.clone(),
                default,
                login_server: settings.login_server.clone(),
            },
            imports: azure_api::Imports::new(self.registry.clone(), settings.import_from.clone()),
            wake,
        });
        let cluster_api = cluster_api::router(self.metastore.clone(), self.auth.clone(), Arc::new(now_ms));
        let names = settings.display_names.into();
        let hosts = Hosts {
            login_server: told.login_server.clone(),
            is_told: settings.login_server.is_some(),
            domain: self.domain.clone(),
        };
        let tables = Tables::new(self.metastore.clone(), tenancy.tenant, hosts, names);
        // So that the first query need not wait for all of it.
        tokio::spawn({
            let tables = tables.clone();
            async move {
                if let Err(error) = tables.refresh().await {
                    tracing::error!(error = causes(&error), "the tables of Resource Graph could not be read");
                }
            }
        });
        let graph =
            Graph::new(self.metastore.clone(), self.auth.clone(), tables, Arc::new(now_ms), settings.queries);
        let fresh = Duration::from_secs(u64::from(settings.cache_fresh_seconds));
        let cache_settings = CacheSettings { fresh, ..CacheSettings::default() };
        let cache = Cache::new(self.metastore.clone(), self.registry.clone(), cache_settings);
        let reading = axum::middleware::from_fn(registry_api::read_refused);
        let others = graph.clone().router(azure_api);
        let health = Health::new(self.metastore.clone(), self.blobs.clone()).router();
        let doors = registry_api.merge(cluster_api).merge(health).fallback_service(others).layer(reading);
        Ok((doors.layer(Extension(cache)), graph))
    }

    /// What is to be done now and then: new advisory data, data that has become too old, uploads that
    /// nobody goes on with, space that nothing needs.
    async fn keep_fresh(self, data: DataFolder, settings: Settings, stop: CancellationToken) {
        let sources = Sources { debian: settings.debian_url, alpine: settings.alpine_url };
        let feeds_every = Duration::from_secs(u64::from(settings.feeds_every_hours) * 3600);
        let mut feeds_due = tokio::time::Instant::now();
        let mut collection_due = feeds_due + COLLECT_EVERY;
        if feeds_every.is_zero() {
            self.warn_without_advisories().await;
        }
        loop {
            let now = tokio::time::Instant::now();
            if !feeds_every.is_zero() && now >= feeds_due {
                feeds_due = now + feeds_every;
                tokio::select! {
                    // A download may take longer than anybody waits for a stop.
                    () = stop.cancelled() => return,
                    () = self.update(&sources) => {}
                }
            }
            if let Err(error) = self.scanner.note_stale_feeds().await {
                tracing::error!(error = causes(&error), "the feeds' age could not be looked at");
            }
            if let Err(error) = self.registry.expire_uploads().await {
                tracing::error!(error = causes(&error), "old uploads could not be ended");
            }
            if let Err(error) = registry_command::purge_expired(&self.metastore, now_ms()).await {
                tracing::error!(error = causes(&*error), "deleted registries could not be purged");
            }
            if now >= collection_due {
                collection_due = now + COLLECT_EVERY;
                if let Err(error) = self.registry.purge().await {
                    tracing::error!(error = causes(&error), "the retention rules could not be carried out");
                }
                self.collect(&data).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(600)) => {}
            }
        }
    }

    /// Gives back what nothing needs, unless another program is bringing blobs right now: what it is
    /// about to refer to would look unneeded.
    async fn collect(&self, data: &DataFolder) {
        match space::collect(&self.registry, data).await {
            Ok(None) => tracing::info!("an import is under way: space is given back later"),
            Ok(Some(Collected { removed: 0, .. })) => {}
            Ok(Some(Collected { removed, .. })) => {
                tracing::info!(blobs = removed, "removed blobs that no manifest needs")
            }
            Err(error) => tracing::error!(error = causes(&*error), "space could not be given back"),
        }
    }

    async fn update(&self, sources: &Sources) {
        tracing::info!(debian = sources.debian, alpine = sources.alpine, "looking for new advisory data");
        match self.feeds.update(sources, now_ms()).await {
            Ok(report) => {
                log(&report);
                self.jobs.wake();
            }
            Err(error) => tracing::error!(error = causes(&error), "advisory data could not be updated"),
        }
        self.warn_without_advisories().await;
    }

    async fn warn_without_advisories(&self) {
        match self.metastore.current_snapshot().await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!(
                "there is no advisory data: images are Unverified until some is imported; fetch the files where \
                 there is a network and run `lazaret feeds import PATH...`"
            ),
            Err(error) => {
                tracing::error!(error = causes(&error), "the advisory snapshot could not be looked up")
            }
        }
    }
}

/// Another certificate is shown when its files change, and when somebody says so (SIGHUP). One of our own
/// is made anew each month: it would not live as long as a server that nobody stops.
async fn renew_certificates(certificates: tls::Certificates, mut hangup: Signal, stop: CancellationToken) {
    let every = if certificates.is_from_files() { LOOK_AT_FILES_EVERY } else { MAKE_CERTIFICATE_EVERY };
    let mut failed = String::new();
    loop {
        let is_told = tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => true,
            () = tokio::time::sleep(every) => false,
        };
        match certificates.renew(today()) {
            Ok(true) => tracing::info!("another certificate is shown from now on"),
            Ok(false) if is_told => tracing::info!("the certificate is read again, and is the same"),
            Ok(false) => {}
            // Said once, not every minute.
            Err(error) if is_told || error.to_string() != failed => {
                failed = error.to_string();
                tracing::error!(error = failed, "the certificate stays as it was");
                continue;
            }
            Err(_) => continue,
        }
        failed.clear();
    }
}

fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// What a full disk refuses is put off: what is there is served all the same.
fn without_room<T, E: std::error::Error + 'static>(
    outcome: Result<T, E>,
    is_full: impl Fn(&E) -> bool,
) -> Result<Option<T>, Failure> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if is_full(&error) => {
            tracing::error!(error = %error, "the disk is full: what the last stop left behind is put right later");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn metastore_is_full(error: &metastore::Error) -> bool {
    matches!(error, metastore::Error::Full)
}

/// Tells those who wait for work that there may be some.
fn wake(jobs: &Jobs, dispatcher: &Dispatcher) -> Arc<dyn Fn() + Send + Sync> {
    let (jobs, dispatcher) = (jobs.clone(), dispatcher.clone());
    Arc::new(move || {
        jobs.wake();
        dispatcher.wake();
    })
}

/// What the command line changes beside us must not be answered from memory.
async fn notice_changes(registry: RegistryEngine, stop: CancellationToken) {
    loop {
        if let Err(error) = registry.notice_changes().await {
            tracing::error!(error = causes(&error), "changes by other programs could not be looked for");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(NOTICE_EVERY) => {}
        }
    }
}

/// What a burst of work took is not kept for the next one.
async fn give_memory_back(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GIVE_BACK_EVERY) => {}
        }
        if tokio::task::spawn_blocking(sandbox::memory::give_back).await.is_err() {
            return;
        }
    }
}

/// Rules end by themselves.
async fn end_rules(metastore: Metastore, stop: CancellationToken) {
    loop {
        match metastore.expire_rules(now_ms()).await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "rules have expired: what they disabled counts again"),
            Err(error) => tracing::error!(error = causes(&error), "expired rules could not be looked for"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(NOTICE_EVERY) => {}
        }
    }
}

/// When images were last pulled, written now and then and at the end.
async fn record_pulls(registry: RegistryEngine, stop: CancellationToken) {
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(RECORD_PULLS_EVERY) => false,
        };
        if let Err(error) = registry.record_pulls().await {
            tracing::error!(error = causes(&error), "the last pulls could not be recorded");
        }
        if is_last {
            return;
        }
    }
}

/// What became of the feeds. A network without a way out would fill the log with one reason.
fn log(report: &feeds::Report) {
    for line in report.unreachable() {
        tracing::warn!("advisory data was not fetched: {line}");
    }
    for payload in report.payloads.iter().filter(|payload| !payload.is_unreachable()) {
        match payload.outcome {
            feeds::Outcome::Refused(_) => tracing::warn!("advisory data {payload}"),
            feeds::Outcome::Imported { .. } => tracing::info!("advisory data {payload}"),
            feeds::Outcome::Unchanged => {}
        }
    }
    if let (true, Some(snapshot)) = (report.is_new, &report.snapshot) {
        tracing::info!(%snapshot, "new advisory snapshot");
    }
}

/// The jail that extractors run in: this program, as its own worker.
pub(crate) fn jail() -> Result<Jail, Failure> {
    Ok(Jail { program: worker_program()?, args: vec![WORKER.into()], limits: JailLimits::default() })
}

/// By the link that stays valid when the file on disk is replaced under a running server.
fn worker_program() -> Result<PathBuf, Failure> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { Ok(std::env::current_exe()?) }
}

/// One for both listeners.
fn with_rate_limit(router: Router, per_minute: u32) -> Router {
    match registry_api::RateLimit::per_minute(per_minute) {
        Some(limit) => router.layer(Extension(limit)),
        None => router,
    }
}

/// The doors behind a listener of that scheme, and behind the proxies that stand before it.
fn behind(router: Router, proxies: &Proxies, scheme: &'static str) -> Router {
    let front = Front { proxies: proxies.clone(), scheme };
    router.layer(axum::middleware::from_fn_with_state(front, proxy::enter))
}

fn certificate_source(settings: &Settings, data: &DataFolder) -> tls::Source {
    match settings.tls_files.clone() {
        Some((certificate, key)) => tls::Source::Files { certificate, key },
        None => tls::Source::Own { data: data.clone(), names: certificate_names(settings) },
    }
}

fn certificate_names(settings: &Settings) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let listening = &settings.listen_tls.host;
    if !listening.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        names.push(listening.clone());
    }
    names.extend([settings.domain.clone(), format!("*.{}", settings.domain)]);
    names.extend(settings.tls_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

fn say_hello(settings: &Settings, told: &Told, plain: &Listener, secure: &Listener, tenancy: &Tenancy) {
    let (host, data) = (&told.login_server, settings.data.display());
    say!("Lazaret serves http://{} and https://{}", plain.address(), secure.address());
    match &settings.tls_files {
        Some((certificate, _)) => say!("  certificate            {}", certificate.display()),
        None => say!("  certificate authority  {data}/{}", tls::CA_CERTIFICATE),
    }
    let administrator = tenancy.administrator.map(|id| format!(", administrator {ADMINISTRATOR} ({id})"));
    say!("  tenant {}{}", tenancy.tenant, administrator.unwrap_or_default());
    match &tenancy.password {
        // Of what goes elsewhere than to a terminal, a log may be kept that others read.
        Some(password) if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            say!("  password               {password}");
            say!(
                "                         shown this once; also in {data}/{PASSWORD_FILE} (keep it and remove the file)"
            );
        }
        Some(_) => say!("  password               in {data}/{PASSWORD_FILE} (keep it and remove the file)"),
        None => {}
    }
    say!("Next:");
    say!("  docker login {host} -u {ADMINISTRATOR}");
    say!("  docker push {host}/app/web:1");
    say!("  lazaret image show app/web:1 --data {data}");
}

/// The signals by which the server is told to stop, caught from here on.
struct Stopped {
    terminate: Signal,
    interrupt: Signal,
}

impl Stopped {
    fn listen() -> Result<Self, Failure> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The hidden argument by which this program starts itself as the jailed extractor.
pub(crate) const WORKER: &str = "jailed-extractor";

const DAY_MS: i64 = 86_400_000;

/// As long as what the command line changed may still be answered from memory.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
const GIVE_BACK_EVERY: Duration = Duration::from_secs(15);

/// Who renews them seldom tells us.
const LOOK_AT_FILES_EVERY: Duration = Duration::from_mins(1);
const MAKE_CERTIFICATE_EVERY: Duration = Duration::from_hours(30 * 24);

/// How long uploads under way may go on after the word to stop. Their clients are still answered before requests
/// are cut off.
const BREAK_OFF_AFTER: Duration = Duration::from_secs(15);

/// What a crash may forget.
const RECORD_PULLS_EVERY: Duration = Duration::from_secs(60);

/// A look at every link there is.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);
