//! The audit log: who changed what, and who was refused what.

use rusqlite::{Row, params};

use crate::{Alterations, Error, Metastore};

/// One change, or refusals that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its row number; 0 before it is written.
    pub id: i64,
    /// When; of several, the first.
    pub at_ms: i64,
    /// When; of several, the last.
    pub last_ms: i64,
    /// How many.
    pub count: u64,
    /// The principal's id; empty if it is nobody known, or the command line.
    pub principal: String,
    /// The principal's name. If it is empty, it is looked up by the id.
    pub name: String,
    /// What was done or wanted, by Azure's names, or as a command.
    pub action: String,
    /// To what.
    pub scope: String,
    /// It was refused; else it was done.
    pub is_refused: bool,
    /// HTTP's status; 0 for a command.
    pub status: u16,
    /// The request's method and path, of several the first's.
    pub request: String,
    /// The request's id.
    pub request_id: String,
    /// Where the request came from.
    pub address: String,
    /// What of it was altered.
    pub alterations: Alterations,
}

/// What of the log is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not what ended before.
    pub since_ms: Option<i64>,
    /// Not what ended after.
    pub until_ms: Option<i64>,
    /// A principal's name or id.
    pub who: Option<String>,
    /// An ARM id: what was done or wanted there, or beneath it.
    pub beneath: Option<String>,
    /// Only what comes after the entry that ended then, and has this row number.
    pub before: Option<(i64, i64)>,
}

/// How much of the log is kept. What is refused never takes the place of what was done.
#[derive(Clone, Copy, Debug)]
pub struct AuditLimits {
    /// Rows of what was done.
    pub done_max: u32,
    /// Rows of what was refused.
    pub refused_max: u32,
    /// All of them are kept this long.
    pub keep_ms: i64,
}

impl Metastore {
    /// Adds to the audit log.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn add_audit(&self, entries: Vec<AuditEntry>) -> Result<(), Error> {
        self.write(move |rows| {
            let mut statement = rows.prepare_cached(
                "INSERT INTO audit (at_ms, last_ms, count, principal_id, principal_name, action, scope, is_refused,
                                    status, request, request_id, address, alterations)
                 VALUES (?1, ?2, ?3, ?4,
                   iif(?5 = '', coalesce((SELECT name FROM principal WHERE id = ?4), ''), ?5),
                   ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?;
            for entry in entries {
                let alterations = (!entry.alterations.is_empty()).then(|| document(&entry.alterations)).transpose()?;
                statement.execute(params![
                    entry.at_ms,
                    entry.last_ms,
                    i64::try_from(entry.count).unwrap_or(i64::MAX),
                    entry.principal,
                    entry.name,
                    entry.action,
                    entry.scope,
                    entry.is_refused,
                    entry.status,
                    entry.request,
                    entry.request_id,
                    entry.address,
                    alterations
                ])?;
            }
            Ok(())
        })
        .await
    }

    /// The newest entries of the audit log, `limit` at most.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn audit(&self, filter: AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT at_ms, last_ms, count, principal_id, principal_name, action, scope, is_refused, status,
                        request, request_id, address, id, alterations
                 FROM audit WHERE last_ms >= ?1
                   AND (?2 IS NULL OR principal_name = ?2 COLLATE NOCASE OR principal_id = lower(?2))
                   AND (?4 IS NULL OR last_ms <= ?4)
                   AND (?5 IS NULL OR scope = ?5 COLLATE NOCASE
                        OR substr(scope, 1, length(?5) + 1) = ?5 || '/' COLLATE NOCASE)
                   AND (?6 IS NULL OR last_ms < ?6 OR last_ms = ?6 AND id < ?7)
                 ORDER BY last_ms DESC, id DESC LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let since_ms = filter.since_ms.unwrap_or(i64::MIN);
            let (time, id) = filter.before.unzip();
            let found = statement.query_map(
                params![since_ms, filter.who, limit, filter.until_ms, filter.beneath, time, id],
                entry,
            )?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Forgets what is too old, and the oldest beyond what is kept.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tidy_audit(&self, limits: AuditLimits, now_ms: i64) -> Result<(), Error> {
        self.write(move |rows| {
            rows.execute("DELETE FROM audit WHERE last_ms < ?1", [now_ms - limits.keep_ms])?;
            for (is_refused, max) in [(false, limits.done_max), (true, limits.refused_max)] {
                rows.execute(
                    "DELETE FROM audit WHERE is_refused = ?1 AND id <= (
                       SELECT id FROM audit WHERE is_refused = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    params![is_refused, max],
                )?;
            }
            Ok(())
        })
        .await
    }
}

fn document(alterations: &Alterations) -> Result<String, Error> {
    serde_json::to_string(alterations).map_err(|_| Error::Damaged { what: "alterations" })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let alterations: Option<String> = row.get(13)?;
    Ok(AuditEntry {
        at_ms: row.get(0)?,
        last_ms: row.get(1)?,
        count: row.get(2)?,
        principal: row.get(3)?,
        name: row.get(4)?,
        action: row.get(5)?,
        scope: row.get(6)?,
        is_refused: row.get(7)?,
        status: row.get(8)?,
        request: row.get(9)?,
        request_id: row.get(10)?,
        address: row.get(11)?,
        id: row.get(12)?,
        // Written by a newer program, they may be of another form: the entry stands without them.
        alterations: alterations.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    })
}
