//! Feeds, and which advisory snapshot is the current one.

use oci::Digest;
use rusqlite::params;

use crate::job::enqueue;
use crate::repository::parse_digest;
use crate::tenancy::{set_setting, setting};
use crate::{Error, JobKind, Metastore};

/// One source's newest good payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its name: `debian`, `alpine/v3.22/main`.
    pub name: String,
    /// Where it came from, and what it holds.
    pub payload: FeedPayload,
    /// When the payload was taken in.
    pub fetched_ms: i64,
    /// When the source last said that this is its newest.
    pub checked_ms: i64,
}

/// A payload that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPayload {
    /// Whose form it has: `debian`, `alpine`.
    pub kind: String,
    /// The URL or file.
    pub origin: String,
    /// The entity tag the source gave.
    pub etag: Option<String>,
    /// The date the source gave, as it wrote it.
    pub last_modified: Option<String>,
    /// The digest of its bytes, which are in the feeds' blob store.
    pub digest: Digest,
    /// How many advisory records it holds.
    pub records: u64,
}

impl Metastore {
    /// All feeds, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn feeds(&self) -> Result<Vec<Feed>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(
                "SELECT name, kind, origin, etag, last_modified, payload, records, fetched_ms, checked_ms
                 FROM feed ORDER BY name",
            )?;
            let mut found = statement.query([])?;
            let mut feeds = Vec::new();
            while let Some(row) = found.next()? {
                let payload = FeedPayload {
                    kind: row.get(1)?,
                    origin: row.get(2)?,
                    etag: row.get(3)?,
                    last_modified: row.get(4)?,
                    digest: parse_digest(&row.get::<_, String>(5)?)?,
                    records: row.get(6)?,
                };
                feeds.push(Feed {
                    name: row.get(0)?,
                    payload,
                    fetched_ms: row.get(7)?,
                    checked_ms: row.get(8)?,
                });
            }
            Ok(feeds)
        })
        .await
    }

    /// The current advisory snapshot; `None` before the first import.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn current_snapshot(&self) -> Result<Option<Digest>, Error> {
        let text = self.setting(SNAPSHOT).await?;
        text.map(|text| parse_digest(&text)).transpose()
    }

    /// Takes in new payloads, makes the snapshot built from them the current one and queues what
    /// must be judged again, all or nothing. A snapshot equal to the current one queues nothing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn install_snapshot(
        &self,
        payloads: Vec<(String, FeedPayload)>,
        snapshot: &Digest,
        now_ms: i64,
    ) -> Result<(), Error> {
        let new = snapshot.to_string();
        self.grow(move |rows| {
            for (name, payload) in payloads {
                rows.prepare_cached(
                    "INSERT INTO feed (name, kind, origin, etag, last_modified, payload, records, fetched_ms, checked_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
                     ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, origin = excluded.origin,
                       etag = excluded.etag, last_modified = excluded.last_modified, payload = excluded.payload,
                       records = excluded.records, fetched_ms = excluded.fetched_ms, checked_ms = excluded.checked_ms",
                )?
                .execute(params![
                    name,
                    payload.kind,
                    payload.origin,
                    payload.etag,
                    payload.last_modified,
                    payload.digest.to_string(),
                    payload.records,
                    now_ms
                ])?;
            }
            let old = setting(rows, SNAPSHOT)?;
            if old.as_ref() == Some(&new) {
                return Ok(());
            }
            set_setting(rows, SNAPSHOT, &new)?;
            let key = format!("{}>{new}", old.unwrap_or_default());
            enqueue(rows, JobKind::Rematch, &key, now_ms)
        })
        .await
    }

    /// Notes that a source was asked and has nothing newer.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn touch_feed(&self, name: &str, now_ms: i64) -> Result<(), Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            rows.prepare_cached("UPDATE feed SET checked_ms = ?2 WHERE name = ?1")?
                .execute(params![name, now_ms])?;
            Ok(())
        })
        .await
    }

    /// Notes which feeds are too old to judge by; if that is news, queues a new judgement of every
    /// image by the current snapshot.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn note_stale_feeds(&self, names: String, now_ms: i64) -> Result<(), Error> {
        self.write(move |rows| {
            if setting(rows, STALE_FEEDS)?.unwrap_or_default() == names {
                return Ok(());
            }
            set_setting(rows, STALE_FEEDS, &names)?;
            match setting(rows, SNAPSHOT)? {
                Some(current) => enqueue(rows, JobKind::Rematch, &format!(">{current}"), now_ms),
                None => Ok(()),
            }
        })
        .await
    }

    /// Every snapshot that is current or still to be compared with: the others may go.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn snapshots_needed(&self) -> Result<Vec<Digest>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(
                "SELECT value FROM setting WHERE key = ?1 UNION ALL SELECT key FROM job WHERE kind = 'rematch'",
            )?;
            let mut found = statement.query([SNAPSHOT])?;
            let mut digests = Vec::new();
            while let Some(row) = found.next()? {
                for text in row.get::<_, String>(0)?.split('>').filter(|text| !text.is_empty()) {
                    digests.push(parse_digest(text)?);
                }
            }
            Ok(digests)
        })
        .await
    }
}

pub(crate) const SNAPSHOT: &str = "advisory-snapshot";
const STALE_FEEDS: &str = "stale-feeds";
