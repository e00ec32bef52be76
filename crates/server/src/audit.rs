//! What every door is asked, seen in one place: what changed something or was refused goes to the audit log.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use auth::{AuditLog, Witness};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use clap::ArgMatches;
use metastore::{Alterations, AuditEntry, Notebook};
use tokio_util::sync::CancellationToken;

use crate::access_log::shown_path;
use crate::data::DataFolder;
use crate::{Failure, now_ms};

/// Where a request comes from: the listener knows, and a proxy that is trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

tokio::task_local! {
    /// The request that is being served, and its method and path: for what is noticed where no request is known.
    static SERVED: (Witness, String);
}

/// Passes a request on, and writes down what became of it if that is for the log. What was done is
/// written before it is answered: what a client was told is in the log. What a client does not wait for is, too: a
/// change that was begun goes on, and is written down, when its client hangs up.
pub(crate) async fn watch(State(log): State<AuditLog>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| address.to_string());
    let witness = Witness::new(peer.unwrap_or_default());
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return watched(log, request, witness, next).await;
    }
    let work = tokio::spawn(watched(log, request, witness.clone(), next));
    let mut carried = Carried { work, witness };
    (&mut carried.work).await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "a request could not be carried out");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// A request's work, which ends with its client unless it changes something.
struct Carried {
    work: tokio::task::JoinHandle<Response>,
    witness: Witness,
}

impl Drop for Carried {
    fn drop(&mut self) {
        if !self.witness.seen().is_change {
            self.work.abort();
        }
    }
}

async fn watched(log: AuditLog, mut request: Request, witness: Witness, next: Next) -> Response {
    request.extensions_mut().insert(witness.clone());
    let line = format!("{} {}", request.method(), shown_path(request.uri().path()));
    let (notebook, may_alter) =
        (Notebook::default(), ![Method::GET, Method::HEAD].contains(request.method()));
    let served = SERVED.scope((witness.clone(), line.clone()), next.run(request));
    let response = if may_alter { notebook.during(served).await } else { served.await };
    let (seen, status) = (witness.seen(), response.status());
    let is_refused = status == StatusCode::FORBIDDEN;
    if seen.action.is_empty() || !(is_refused || seen.is_change && status.is_success()) {
        return response;
    }
    let now_ms = now_ms();
    let entry = AuditEntry {
        id: 0,
        at_ms: now_ms,
        last_ms: now_ms,
        count: 1,
        principal: seen.principal,
        name: seen.name,
        action: seen.action,
        scope: seen.scope,
        is_refused,
        status: status.as_u16(),
        request: line,
        request_id: witness.request_id().to_string(),
        address: witness.address().to_owned(),
        alterations: notebook.taken(),
    };
    if is_refused {
        log.refused(entry);
        return response;
    }
    match log.done(entry).await {
        Ok(()) => response,
        Err(error) => {
            tracing::error!(
                error = crate::output::causes(&error),
                "a change was made and could not be written to the audit log"
            );
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// From which address the request comes that is being served; empty: none is.
pub(crate) fn asked_from() -> String {
    SERVED.try_with(|(witness, _)| witness.address().to_owned()).unwrap_or_default()
}

/// Somebody brought a wrong secret, under this name.
pub(crate) fn turned_away(log: &AuditLog, name: &str) {
    let now_ms = now_ms();
    let served = SERVED.try_with(|(witness, line)| {
        (witness.address().to_owned(), witness.request_id().to_string(), line.clone())
    });
    // Nobody asks outside of a request.
    let (address, request_id, request) = served.unwrap_or_default();
    log.refused(AuditEntry {
        at_ms: now_ms,
        last_ms: now_ms,
        count: 1,
        name: name.to_owned(),
        action: "sign in".to_owned(),
        scope: "/".to_owned(),
        status: StatusCode::UNAUTHORIZED.as_u16(),
        request,
        request_id,
        address,
        ..AuditEntry::default()
    });
}

/// Writes what was counted every few seconds and at the end, and forgets what is too old.
pub(crate) async fn keep(log: AuditLog, stop: CancellationToken) {
    let mut tidy_due = tokio::time::Instant::now();
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(std::time::Duration::from_secs(5)) => false,
        };
        if let Err(error) = log.flush().await {
            tracing::error!(
                error = crate::output::causes(&error),
                "refusals could not be written to the audit log"
            );
        }
        if is_last {
            return;
        }
        if tokio::time::Instant::now() >= tidy_due {
            tidy_due = tokio::time::Instant::now() + std::time::Duration::from_secs(600);
            if let Err(error) = log.tidy(now_ms()).await {
                tracing::error!(error = crate::output::causes(&error), "the audit log could not be tidied");
            }
        }
    }
}

/// A command that changes something, as the log names it.
pub(crate) struct ChangingCommand {
    words: String,
    target: String,
    data: PathBuf,
}

impl ChangingCommand {
    /// `None`: it only looks. Which words only look is listed, so that a new command is in the log.
    pub(crate) fn of(matches: &ArgMatches) -> Option<Self> {
        let (mut words, mut leaf) = (Vec::new(), matches);
        while let Some((word, inner)) = leaf.subcommand() {
            words.push(word);
            leaf = inner;
        }
        let flag = |name: &str| matches!(leaf.try_get_one::<bool>(name), Ok(Some(true)));
        let only_looks = LOOKING.contains(words.last()?)
            || flag("dry_run")
            || words == ["fsck"] && !flag("repair")
            || words == ["query"] && !leaf.try_get_raw("save").is_ok_and(|saved| saved.is_some());
        if only_looks {
            return None;
        }
        // What it is about, and never an option's value: there may be a secret in it.
        let named = |id: &&str| leaf.try_get_raw(id).ok().flatten().and_then(|mut values| values.next());
        let target = TARGETS.iter().find_map(named).map(OsString::from).unwrap_or_default();
        let data = leaf.try_get_one::<PathBuf>("path").ok().flatten()?.clone();
        let target = target.to_string_lossy().into_owned();
        Some(Self { words: words.join(" "), target, data })
    }

    /// Writes down that it was done, and what it altered.
    pub(crate) async fn done(self, alterations: Alterations) -> Result<(), Failure> {
        let now_ms = now_ms();
        let login_uid = std::fs::read_to_string("/proc/self/loginuid").ok();
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = rustix::process::getuid().as_raw();
        let sudo_user = std::env::var("SUDO_USER").ok();
        let user = person(uid, sudo_user.as_deref(), login_uid.as_deref(), &accounts);
        let entry = AuditEntry {
            at_ms: now_ms,
            last_ms: now_ms,
            count: 1,
            name: format!("{user} at the command line"),
            action: format!("lazaret {}", self.words),
            scope: self.target,
            alterations,
            ..AuditEntry::default()
        };
        Ok(AuditLog::new(DataFolder::existing(&self.data)?.metastore()?).done(entry).await?)
    }
}

/// The person who types a command, as far as the system tells: the account that it runs as, and before it the one
/// that logged in (the kernel keeps `loginuid` through sudo and su) or called sudo.
fn person(uid: u32, sudo_user: Option<&str>, login_uid: Option<&str>, accounts: &str) -> String {
    let name_of = |uid: u32| {
        let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let line = lines.find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(uid)));
        let name = line.and_then(|fields| fields.first().copied()).filter(|name| !name.is_empty());
        name.map_or_else(|| format!("uid {uid}"), str::to_owned)
    };
    let login = login_uid.and_then(|text| text.trim().parse::<u32>().ok());
    let login = login.filter(|login| *login != NO_LOGIN && *login != uid).map(name_of);
    let own = name_of(uid);
    let behind = login.or_else(|| sudo_user.map(str::to_owned)).filter(|behind| *behind != own);
    behind.map_or_else(|| own.clone(), |behind| format!("{behind} as {own}"))
}

/// What `loginuid` says of a process that came of no login.
const NO_LOGIN: u32 = u32::MAX;
/// Commands that change nothing, by their last word.
const LOOKING: [&str; 11] =
    ["serve", "list", "show", "scan", "usage", "audit", "events", "backup", "check", "status", "help"];
/// Arguments that name what a command is about.
const TARGETS: [&str; 7] = ["principal", "name", "target", "reference", "repository", "rule", "id"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_person_behind_an_account_is_named_where_the_system_tells() {
        const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        let named = |uid, sudo, login| person(uid, sudo, login, ACCOUNTS);
        assert_eq!(named(0, None, None), "root");
        assert_eq!(named(0, None, Some("4294967295\n")), "root");
        assert_eq!(named(0, None, Some("1000\n")), "ann as root");
        assert_eq!(named(0, Some("bob"), Some("4294967295")), "bob as root");
        // Text that the caller sets says less than what the system keeps.
        assert_eq!(named(0, Some("bob"), Some("1000")), "ann as root");
        assert_eq!(named(1000, None, Some("1000")), "ann");
        assert_eq!(named(1001, None, Some("nonsense")), "uid 1001");
    }
}
