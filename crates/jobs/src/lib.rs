//! The durable queue: what was promised in a transaction is done, at least once.
//!
//! Jobs are rows of the metastore, put there by the transaction that makes them necessary. This
//! room claims them under a lease, runs them, and puts failed ones back with a growing delay.
//! What a job means is its [`Work`]'s affair.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use metastore::{Error, Job, Metastore};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Does what jobs ask for. Must bear being asked twice for the same.
pub trait Work: Send + Sync + 'static {
    /// Does the job, or says in one sentence why it could not.
    fn run(&self, job: &Job) -> impl Future<Output = Result<(), String>> + Send;

    /// Called once after the last attempt has failed, to leave a trace where people look.
    /// If this fails too, the job stays and is tried again.
    fn give_up(&self, job: &Job, error: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// The queue of one process. Clones share it.
#[derive(Clone)]
pub struct Jobs {
    metastore: Metastore,
    clock: Clock,
    wake: Arc<Notify>,
}

impl Jobs {
    /// A queue over the store's rows.
    #[must_use]
    pub fn new(metastore: Metastore, clock: Clock) -> Self {
        Self { metastore, clock, wake: Arc::new(Notify::new()) }
    }

    /// Tells the workers that a job was queued. Without it they find the job at the next look,
    /// within [`LOOK_INTERVAL`].
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Readies the jobs at which a process was when it died. To be called at the start of the only process
    /// that runs jobs, before [`Jobs::run`]. Returns how many there were.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn recover(&self) -> Result<usize, Error> {
        self.metastore.release_jobs((self.clock)(), delay_after_death_ms).await
    }

    /// Runs jobs with `workers` tasks until `stop`; a job that has begun is finished first.
    pub async fn run(&self, work: Arc<impl Work>, workers: usize, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (jobs, work, stop) = (self.clone(), Arc::clone(&work), stop.clone());
            tasks.spawn(async move { jobs.work_until(&*work, &stop).await });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "a job worker ended badly");
            }
        }
    }

    /// Runs jobs, those that are not yet due included, until none is open. For tests and for
    /// commands that must not leave work behind.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn settle(&self, work: &impl Work) -> Result<(), Error> {
        loop {
            let (_, due_ms) = self.metastore.jobs_open().await?;
            let Some(due_ms) = due_ms else { return Ok(()) };
            if let Some(job) = self.claim(due_ms.max((self.clock)())).await? {
                self.perform(work, &job).await?;
            }
        }
    }

    async fn work_until(&self, work: &impl Work, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let outcome = match self.claim((self.clock)()).await {
                Ok(Some(job)) => {
                    // One wake-up stands for one job; where one waits, another may.
                    self.wake();
                    self.perform(work, &job).await
                }
                Ok(None) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep(LOOK_INTERVAL) => {}
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::error!(error = &error as &dyn std::error::Error, "the job queue failed");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
                }
            }
        }
    }

    async fn claim(&self, now_ms: i64) -> Result<Option<Job>, Error> {
        self.metastore.claim_job(now_ms, (self.clock)() + LEASE_MS).await
    }

    async fn perform(&self, work: &impl Work, job: &Job) -> Result<(), Error> {
        // Whatever ended its last attempt left no word of it: the process died.
        if job.attempts > ATTEMPTS_MAX {
            let had = Job { attempts: job.attempts - 1, ..job.clone() };
            let error = "the server ended while it was at work on this";
            tracing::warn!(kind = ?job.kind, key = job.key, attempts = had.attempts, error, "a job is given up");
            // What must not be given up is tried once more.
            if work.give_up(&had, error).await.is_ok() {
                return self.metastore.complete_job(job.id, (self.clock)()).await;
            }
        }
        let attempt = AssertUnwindSafe(work.run(job)).catch_unwind();
        let outcome = self.under_lease(job, attempt).await;
        // A panic is a fault of ours; a worker that it ended would be missed.
        let outcome = outcome.unwrap_or_else(|_| Err("the work on it panicked".to_owned()));
        let Err(error) = outcome else {
            return self.metastore.complete_job(job.id, (self.clock)()).await;
        };
        tracing::warn!(kind = ?job.kind, key = job.key, attempts = job.attempts, error, "a job failed");
        let Some(delay_ms) = delay_ms(job.attempts) else {
            return match work.give_up(job, &error).await {
                Ok(()) => self.metastore.complete_job(job.id, (self.clock)()).await,
                Err(error) => {
                    let now_ms = (self.clock)();
                    self.metastore.retry_job(job.id, error, now_ms + LAST_DELAY_MS, now_ms).await
                }
            };
        };
        let now_ms = (self.clock)();
        self.metastore.retry_job(job.id, error, now_ms + delay_ms, now_ms).await
    }

    /// Runs the work and prolongs the lease for as long as it takes.
    async fn under_lease<T>(&self, job: &Job, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                () = tokio::time::sleep(Duration::from_millis(LEASE_MS.unsigned_abs() / 3)) => {
                    if let Err(error) = self.metastore.extend_job(job.id, (self.clock)() + LEASE_MS).await {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a lease could not be prolonged");
                    }
                }
            }
        }
    }
}

/// How long to wait after the `attempts`-th attempt; `None`: it was the last.
#[must_use]
pub fn delay_ms(attempts: u32) -> Option<i64> {
    const DELAYS_MS: [i64; 4] = [1_000, 10_000, 60_000, LAST_DELAY_MS];
    DELAYS_MS.get(usize::try_from(attempts).unwrap_or(usize::MAX).saturating_sub(1)).copied()
}

/// How long to wait after the process died in the `attempts`-th attempt: less long than after a failure, for
/// most deaths are not a job's doing.
fn delay_after_death_ms(attempts: u32) -> i64 {
    match attempts {
        0 | 1 => 1_000,
        _ if attempts <= ATTEMPTS_MAX => 10_000,
        _ => LAST_DELAY_MS,
    }
}

/// How many attempts a job gets.
pub const ATTEMPTS_MAX: u32 = 5;

/// The longest wait between two attempts.
const LAST_DELAY_MS: i64 = 600_000;

/// How long a job stays claimed by a process that has died without a word.
const LEASE_MS: i64 = 60_000;

/// How often idle workers look for jobs that another process has queued.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end() {
        assert_eq!(delay_ms(1), Some(1_000));
        assert!(delay_ms(ATTEMPTS_MAX - 1).is_some());
        assert_eq!(delay_ms(ATTEMPTS_MAX), None);
    }
}
