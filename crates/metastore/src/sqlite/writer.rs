//! The one writer: takes closures, and commits those that wait together as one transaction.
//!
//! A flush costs the same for one row as for a thousand, so under load the cost of durability
//! is shared by everybody who waits for it.

use std::sync::mpsc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::Error;

/// A handle to the writer's thread, which ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Work>,
}

/// Runs inside its savepoint and returns how to answer once the outcome of the commit is known.
/// Given no connection it does nothing, and its answer can only be a failure.
type Work = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, Error> {
        let (queue, waiting) = mpsc::channel();
        std::thread::Builder::new()
            .name("metastore-writer".to_owned())
            .spawn(move || write_until_closed(&connection, &waiting))
            .map_err(Error::Open)?;
        Ok(Self { queue })
    }

    pub(super) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let outcome = match connection {
                Some(connection) => in_savepoint(connection, work),
                None => Err(E::from(Error::Closed)),
            };
            Box::new(move |commit: Result<(), Error>| {
                let outcome = match commit {
                    Ok(()) => outcome,
                    Err(error) => Err(E::from(error)),
                };
                // A caller that has gone away wants no answer; its work stands all the same.
                drop(sender.send(outcome));
            })
        });
        self.queue.send(work).map_err(|_| E::from(Error::Closed))?;
        answer.await.map_err(|_| E::from(Error::Closed))?
    }
}

fn write_until_closed(connection: &Connection, waiting: &mpsc::Receiver<Work>) {
    while let Ok(first) = waiting.recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(error = %error, "a write could not begin");
            first(None)(Err(error.into()));
            continue;
        }
        let mut answers = vec![first(Some(connection))];
        while answers.len() < GROUP_MAX
            && let Ok(next) = waiting.try_recv()
        {
            answers.push(next(Some(connection)));
        }
        match connection.execute_batch("COMMIT") {
            Ok(()) => answers.into_iter().for_each(|answer| answer(Ok(()))),
            Err(error) => {
                tracing::error!(error = %error, writes = answers.len(), "a commit failed");
                if let Err(error) = connection.execute_batch("ROLLBACK") {
                    // SQLite has already rolled back by itself after some failures, a full disk among them.
                    tracing::debug!(error = %error, "nothing was left to roll back");
                }
                let detail = error.to_string();
                answers.into_iter().for_each(|answer| answer(Err(Error::Commit { detail: detail.clone() })));
            }
        }
    }
}

fn in_savepoint<T, E: From<Error>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    connection.execute_batch("SAVEPOINT work").map_err(Error::from)?;
    let outcome = work(connection);
    let end = if outcome.is_ok() { "RELEASE work" } else { "ROLLBACK TO work; RELEASE work" };
    connection.execute_batch(end).map_err(Error::from)?;
    outcome
}

/// Bounds how long the first of a group waits for the others.
const GROUP_MAX: usize = 256;
