//! Advisory news: findings that new advisory data brings to images that were judged before.
//!
//! Each verdict that a rematch stores adds what is new to `advisory_news`; when the rematch is over, one event
//! for each registry and advisory takes the place of these rows. The rows survive a crash in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use advisory::Severity;
use rusqlite::{Connection, params};

use crate::event::{AffectedImage, Outbox};
use crate::image::tags_of;
use crate::{Error, EventAction, Metastore};

/// The advisories that an image has findings of; to be taken before its findings are replaced.
pub(crate) fn advisories_of(rows: &Connection, image: &str) -> Result<Vec<String>, Error> {
    if !is_wanted(rows)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT DISTINCT json_extract(document, '$.id') FROM finding WHERE image = ?1";
    let mut statement = rows.prepare_cached(sql)?;
    let found = statement.query_map([image], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Notes what an image has findings of now and had none of before, in each registry that has a webhook for
/// it and a plan that is on. What a rule disables in a repository is no news there.
pub(crate) fn note_news(rows: &Connection, image: &str, before: &[String]) -> Result<(), Error> {
    if !is_wanted(rows)? {
        return Ok(());
    }
    let sql = "INSERT OR IGNORE INTO advisory_news (registry_id, advisory, repository_id, image, severity)
         SELECT registry.id, json_extract(finding.document, '$.id'), repository.id, finding.image, finding.severity
         FROM finding
         JOIN manifest ON manifest.digest = finding.image
         JOIN repository ON repository.id = manifest.repository_id
         JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL
         JOIN plan ON plan.subscription_id = registry.subscription_id AND plan.tier = 'Standard'
         WHERE finding.image = ?1
           AND json_extract(finding.document, '$.id') NOT IN (SELECT value FROM json_each(?2))
           AND EXISTS (SELECT 1 FROM webhook WHERE webhook.registry_id = registry.id AND is_enabled
                       AND actions & ?3 <> 0)
           AND NOT EXISTS (SELECT 1 FROM exemption WHERE exemption.repository_id = repository.id
                           AND exemption.digest = finding.image AND exemption.position = finding.position)";
    let before = serde_json::json!(before).to_string();
    rows.prepare_cached(sql)?.execute(params![image, before, EventAction::Advisory.bit()])?;
    Ok(())
}

fn is_wanted(rows: &Connection) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM webhook WHERE is_enabled AND actions & ?1 <> 0 LIMIT 1";
    Ok(rows.prepare_cached(sql)?.exists([EventAction::Advisory.bit()])?)
}

impl Metastore {
    /// Queues one event for each registry and advisory that brought findings since the last call, and returns
    /// how many advisories were told of. To be called when a rematch is over.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn announce_advisories(&self, now_ms: i64) -> Result<usize, Error> {
        let origin = Arc::clone(&self.origin);
        self.write(move |rows| {
            let news = take_news(rows)?;
            for ((registry, advisory), affected) in &news {
                if let Some(outbox) =
                    Outbox::open(rows, *registry, &[EventAction::Advisory], &origin, now_ms)?
                {
                    outbox.put_advisory(advisory, affected)?;
                }
            }
            Ok(news.len())
        })
        .await
    }
}

type News = BTreeMap<(i64, String), Vec<(AffectedImage, Severity)>>;

/// What is noted of images that are still there; the notes are gone afterwards.
fn take_news(rows: &Connection) -> Result<News, Error> {
    let sql = "SELECT news.registry_id, news.advisory, news.repository_id, repository.name, news.image, news.severity
               FROM advisory_news AS news
               JOIN repository ON repository.id = news.repository_id
               JOIN manifest ON manifest.repository_id = news.repository_id AND manifest.digest = news.image
               ORDER BY news.registry_id, news.advisory, repository.name, news.image";
    let mut news = News::new();
    let mut statement = rows.prepare_cached(sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (registry, advisory, repository_id) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (repository, digest): (String, String) = (row.get(3)?, row.get(4)?);
        let severity = row.get::<_, String>(5)?.parse::<Severity>();
        let severity = severity.map_err(|_| Error::Damaged { what: "severity" })?;
        let tags = tags_of(rows, repository_id, &digest)?.iter().map(ToString::to_string).collect();
        let image = AffectedImage { repository, digest, tags };
        news.entry((registry, advisory)).or_default().push((image, severity));
    }
    rows.execute("DELETE FROM advisory_news", [])?;
    Ok(news)
}
