//! The one writer: takes closures, and commits those that wait together as one transaction.
//!
//! A flush costs the same for one row as for a thousand, so under load the cost of durability
//! is shared by everybody who waits for it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::noted::Page;
use super::reserve::{Reserve, Room};
use crate::change::NEWEST;
use crate::{Error, Notebook};

/// A handle to the writer's thread, which ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Queued>,
    page: Page,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Adds rows as traffic comes: refused on a full disk.
    Growth,
    /// Anything else: what makes room, and what operators change. Takes from the reserve.
    Change,
}

/// Work, what for, and since when it waits.
type Queued = (Instant, Kind, Work);

/// Runs inside its savepoint and returns how to answer once the outcome of the commit is known.
/// Given no connection it does nothing, and its answer can only be a failure.
type Work = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

impl Writer {
    pub(super) fn start(
        connection: Connection,
        page: Page,
        upto: Arc<AtomicI64>,
        reserve: Option<Reserve>,
    ) -> Result<Self, Error> {
        let (queue, waiting) = mpsc::channel();
        std::thread::Builder::new()
            .name("metastore-writer".to_owned())
            .spawn(move || write_until_closed(&connection, &waiting, &upto, reserve.as_ref()))
            .map_err(Error::Open)?;
        Ok(Self { queue, page })
    }

    pub(super) async fn run<T, E>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let (notebook, page) = (Notebook::open(), self.page.clone());
        let work: Work = Box::new(move |connection| {
            page.begin(notebook.is_some());
            let outcome = match connection {
                Some(connection) => in_savepoint(connection, work),
                None => Err(E::from(Error::Closed)),
            };
            let altered = page.taken();
            Box::new(move |commit: Result<(), Error>| {
                let outcome = match commit {
                    Ok(()) => {
                        if let (Ok(_), Some(notebook)) = (&outcome, notebook) {
                            notebook.note(altered);
                        }
                        outcome
                    }
                    Err(error) => Err(E::from(error)),
                };
                // A caller that has gone away wants no answer; its work stands all the same.
                drop(sender.send(outcome));
            })
        });
        self.queue.send((Instant::now(), kind, work)).map_err(|_| E::from(Error::Closed))?;
        answer.await.map_err(|_| E::from(Error::Closed))?
    }
}

fn write_until_closed(
    connection: &Connection,
    waiting: &mpsc::Receiver<Queued>,
    upto: &AtomicI64,
    reserve: Option<&Reserve>,
) {
    note_newest(connection, upto);
    while let Ok((since, kind, first)) = waiting.recv() {
        let room = reserve.map_or(Room::Ample, Reserve::room);
        let is_refused = |kind| room == Room::Short && kind == Kind::Growth;
        if is_refused(kind) {
            first(None)(Err(Error::Full));
            continue;
        }
        if let (Room::Short, Some(reserve)) = (room, reserve) {
            reserve.give_back();
        }
        if let Err(error) = begin(connection, since) {
            tracing::error!(error = &error as &dyn std::error::Error, "a write could not begin");
            first(None)(Err(error));
            continue;
        }
        let mut answers = vec![first(Some(connection))];
        while answers.len() < GROUP_MAX
            && !connection.is_autocommit()
            && let Ok((_, kind, next)) = waiting.try_recv()
        {
            if is_refused(kind) {
                next(None)(Err(Error::Full));
            } else {
                answers.push(next(Some(connection)));
            }
        }
        if connection.is_autocommit() {
            // After some failures, a full disk among them, SQLite has rolled back by itself: the last
            // work knows why, the others were undone with it.
            if let (Room::Short, Some(reserve)) = (room, reserve) {
                reserve.give_back_after_failure();
            }
            let last = answers.pop();
            last.into_iter().for_each(|answer| answer(Ok(())));
            answers.into_iter().for_each(|answer| answer(Err(Error::Undone)));
            continue;
        }
        match connection.execute_batch("COMMIT") {
            Ok(()) => {
                // Before the answers: whoever was answered finds it noted.
                note_newest(connection, upto);
                answers.into_iter().for_each(|answer| answer(Ok(())));
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    writes = answers.len(),
                    "a commit failed"
                );
                if let Err(error) = connection.execute_batch("ROLLBACK") {
                    // SQLite has already rolled back by itself after some failures, a full disk among them.
                    tracing::debug!(error = %error, "nothing was left to roll back");
                }
                if let (Room::Short, Some(reserve)) = (room, reserve) {
                    reserve.give_back_after_failure();
                }
                answers.into_iter().for_each(|answer| answer(Err(why(&error))));
            }
        }
    }
}

/// Takes the database for one group. Each write waits so long for another program, whoever else waits
/// before it.
fn begin(connection: &Connection, since: Instant) -> Result<(), Error> {
    connection.busy_timeout(BUSY_MAX.saturating_sub(since.elapsed()))?;
    Ok(connection.execute_batch("BEGIN IMMEDIATE")?)
}

/// Why a commit failed, for each of its group.
fn why(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        _ => Error::Commit { detail: error.to_string() },
    }
}

/// The end of an index: no cost beside a commit.
fn note_newest(connection: &Connection, upto: &AtomicI64) {
    let newest =
        connection.prepare_cached(NEWEST).and_then(|mut newest| newest.query_row([], |row| row.get(0)));
    match newest {
        Ok(newest) => upto.store(newest, Ordering::Release),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the newest change could not be noted")
        }
    }
}

fn in_savepoint<T, E: From<Error>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    connection.execute_batch("SAVEPOINT work").map_err(Error::from)?;
    let outcome = work(connection);
    match outcome {
        Ok(_) => connection.execute_batch("RELEASE work").map_err(Error::from)?,
        // Rolled back by itself: there is no savepoint any more.
        Err(_) if connection.is_autocommit() => {}
        Err(_) => connection.execute_batch("ROLLBACK TO work; RELEASE work").map_err(Error::from)?,
    }
    outcome
}

/// Bounds how long the first of a group waits for the others.
const GROUP_MAX: usize = 256;

/// How long a write waits while another program (the command line) holds the database.
const BUSY_MAX: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(10) };

#[cfg(test)]
mod tests {
    use super::*;

    /// A table in a file that may grow to some pages and no more.
    fn small() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let connection = Connection::open(folder.path().join("rows.db")).expect("opens");
        let pragmas =
            "PRAGMA cache_size = 4; PRAGMA cache_spill = 1; CREATE TABLE t (x); PRAGMA max_page_count = 40;";
        connection.execute_batch(pragmas).expect("makes");
        (folder, connection)
    }

    async fn insert(writer: Writer, len: usize) -> Result<(), Error> {
        let insert = move |rows: &Connection| {
            Ok::<_, Error>(rows.execute("INSERT INTO t VALUES (?1)", [vec![b'x'; len]]).map(drop)?)
        };
        writer.run(Kind::Change, insert).await
    }

    async fn lens(writer: &Writer) -> Vec<usize> {
        let read = |rows: &Connection| {
            let mut statement = rows.prepare("SELECT length(x) FROM t ORDER BY 1")?;
            let lens = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok::<_, Error>(lens)
        };
        writer.run(Kind::Change, read).await.expect("reads")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_refuses_what_has_no_room_and_what_was_answered_stays() {
        let (_folder, connection) = small();
        let writer = Writer::start(connection, Page::default(), Arc::default(), None).expect("starts");
        insert(writer.clone(), 10).await.expect("has room");
        assert!(matches!(insert(writer.clone(), 1 << 20).await, Err(Error::Full)));
        assert_eq!(lens(&writer).await, [10]);

        // All in one group: the writer is held until everything waits.
        let (go, held) = mpsc::channel();
        let first = writer.run(Kind::Growth, move |_| {
            held.recv().expect("is let go");
            Ok::<_, Error>(())
        });
        let sizes = [11, 2000, 1 << 20, 12, 2000];
        let all = futures_util::future::join_all(sizes.map(|len| insert(writer.clone(), len)));
        let letting_go = async { go.send(()).expect("waits") };
        let (_, answers, ()) = tokio::join!(first, all, letting_go);
        let mut wanted = vec![10];
        wanted.extend(sizes.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(len, _)| len));
        wanted.sort_unstable();
        assert_eq!(lens(&writer).await, wanted, "what was answered is there, and nothing else: {answers:?}");
        assert!(matches!(answers[2], Err(Error::Full)), "{answers:?}");
        insert(writer.clone(), 13).await.expect("goes on");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writes_wait_for_another_program_and_each_no_longer_than_its_time() {
        let (folder, connection) = small();
        let writer = Writer::start(connection, Page::default(), Arc::default(), None).expect("starts");
        let other = Connection::open(folder.path().join("rows.db")).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("holds");
        // The writer's last moment of patience, and many who wait behind it.
        let began = Instant::now();
        let all = futures_util::future::join_all((0..20).map(|_| insert(writer.clone(), 1)));
        for answer in all.await {
            assert!(matches!(answer, Err(Error::Busy)), "{answer:?}");
        }
        assert!(began.elapsed() < 3 * BUSY_MAX, "they wait together, not one after the other");
        other.execute_batch("COMMIT").expect("lets go");
        insert(writer.clone(), 1).await.expect("goes on");
    }
}
