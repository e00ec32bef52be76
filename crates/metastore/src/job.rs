//! The rows of the job queue. What a job means is for the engines to know.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::watched::Watched;
use crate::{Error, Metastore};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Read and judge the image whose digest is the key.
    Scan,
    /// Judge again what changed between two advisory snapshots; the key is `old>new`.
    Rematch,
}

impl JobKind {
    fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Rematch => "rematch",
        }
    }

    fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "scan" => Ok(Self::Scan),
            "rematch" => Ok(Self::Rematch),
            _ => Err(Error::Damaged { what: "job kind" }),
        }
    }
}

/// One job, held under a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its row number.
    pub id: i64,
    /// What is to be done.
    pub kind: JobKind,
    /// To what.
    pub key: String,
    /// How often it was begun, this time included.
    pub attempts: u32,
}

impl Metastore {
    /// Takes the job that has waited longest and is due, or whose lease ran out.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn claim_job(&self, now_ms: i64, lease_until_ms: i64) -> Result<Option<Job>, Error> {
        // Looked for by a reader first: an idle queue costs no commit.
        let waits = self
            .read(move |rows| {
                let mut statement =
                    rows.prepare_cached(&format!("SELECT 1 FROM job WHERE {CLAIMABLE} LIMIT 1"))?;
                Ok::<_, Error>(statement.exists([now_ms])?)
            })
            .await?;
        if !waits {
            return Ok(None);
        }
        self.grow(move |rows| {
            let sql = format!(
                "UPDATE job SET state = 'running', lease_ms = ?2, attempts = attempts + 1
                 WHERE id = (SELECT id FROM job WHERE {CLAIMABLE} ORDER BY due_ms, id LIMIT 1)
                 RETURNING id, kind, key, attempts"
            );
            let found = rows
                .prepare_cached(&sql)?
                .query_row(params![now_ms, lease_until_ms], |row| {
                    Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            found
                .map(|(id, kind, key, attempts)| {
                    Ok(Job { id, kind: JobKind::from_name(&kind)?, key, attempts })
                })
                .transpose()
        })
        .await
    }

    /// Prolongs the lease of a job that is still being worked on.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn extend_job(&self, job: i64, lease_until_ms: i64) -> Result<(), Error> {
        self.write(move |rows| {
            rows.prepare_cached("UPDATE job SET lease_ms = ?2 WHERE id = ?1 AND state = 'running'")?
                .execute(params![job, lease_until_ms])?;
            Ok(())
        })
        .await
    }

    /// Ends a job, or readies it again if it was asked for once more meanwhile.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn complete_job(&self, job: i64, now_ms: i64) -> Result<(), Error> {
        self.write(move |rows| {
            rows.prepare_cached("DELETE FROM job WHERE id = ?1 AND again = 0")?.execute([job])?;
            rows.prepare_cached(
                "UPDATE job SET state = 'ready', again = 0, attempts = 0, error = NULL, due_ms = ?2
                 WHERE id = ?1",
            )?
            .execute(params![job, now_ms])?;
            Ok(())
        })
        .await
    }

    /// Puts a failed job back, to be tried again at `due_ms`.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn retry_job(&self, job: i64, error: String, due_ms: i64, now_ms: i64) -> Result<(), Error> {
        let origin = Arc::clone(&self.origin);
        self.write(move |rows| {
            let scanned = rows
                .prepare_cached("SELECT key FROM job WHERE id = ?1 AND kind = 'scan'")?
                .query_row([job], |row| row.get::<_, String>(0))
                .optional()?;
            let watched = scanned.map(|image| Watched::begin(rows, &image)).transpose()?;
            rows.prepare_cached("UPDATE job SET state = 'ready', error = ?2, due_ms = ?3 WHERE id = ?1")?
                .execute(params![job, error, due_ms])?;
            watched.map_or(Ok(()), |watched| watched.end(rows, &origin, now_ms))
        })
        .await
    }

    /// Readies every running job: for the start of the only process that runs jobs. The process that ran
    /// them has died, perhaps by one of them, so the attempt counts and each waits for as long as `delay_ms`
    /// says of its attempts. So do those of an earlier death: a process that dies soon after its start
    /// leaves them alone, and its death is not held against them.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn release_jobs(
        &self,
        now_ms: i64,
        delay_ms: impl Fn(u32) -> i64 + Send + 'static,
    ) -> Result<usize, Error> {
        self.write(move |rows| {
            // Of those that failed of themselves the error is known, and they wait already.
            let mut suspects = rows.prepare(
                "SELECT id, attempts, state = 'running' FROM job
                 WHERE state = 'running' OR (state = 'ready' AND attempts > 0 AND error IS NULL)",
            )?;
            let suspects = suspects.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let suspects: Vec<(i64, u32, bool)> = suspects.collect::<Result<_, _>>()?;
            let mut release =
                rows.prepare("UPDATE job SET state = 'ready', due_ms = max(due_ms, ?2) WHERE id = ?1")?;
            for (job, attempts, _) in &suspects {
                release.execute(params![job, now_ms + delay_ms(*attempts)])?;
            }
            Ok(suspects.iter().filter(|(_, _, was_running)| *was_running).count())
        })
        .await
    }

    /// How many jobs are queued or running, and when the next of the queued ones is due.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn jobs_open(&self) -> Result<(u64, Option<i64>), Error> {
        self.read(|rows| {
            Ok(rows.query_row(
                "SELECT count(*), min(due_ms) FILTER (WHERE state = 'ready') FROM job",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?)
        })
        .await
    }
}

/// Queues a job, unless the same one waits already; if it runs, it will run once more.
pub(crate) fn enqueue(rows: &Connection, kind: JobKind, key: &str, now_ms: i64) -> Result<(), Error> {
    rows.prepare_cached(
        "INSERT INTO job (kind, key, state, due_ms) VALUES (?1, ?2, 'ready', ?3)
         ON CONFLICT (kind, key) DO UPDATE SET again = (state = 'running'), due_ms = min(due_ms, excluded.due_ms)",
    )?
    .execute(params![kind.name(), key, now_ms])?;
    Ok(())
}

const CLAIMABLE: &str = "(state = 'ready' AND due_ms <= ?1) OR (state = 'running' AND lease_ms <= ?1)";
