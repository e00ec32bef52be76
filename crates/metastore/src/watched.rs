//! Verdicts that change, told: whoever changes what is thought of an image watches it meanwhile.
//!
//! ```text
//! let watched = Watched::begin(rows, image)?;
//! … change rows …
//! watched.end(rows, origin, now_ms)?;
//! ```

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::event::Outbox;
use crate::image::{IMAGE_ROWS, image_row, raw_image};
use crate::{Error, EventAction, EventTarget, ImageRow, Judgement, Origin, VerdictChange};

/// What was thought of an image before it changed, in each repository whose webhooks want to know.
pub(crate) struct Watched {
    image: String,
    before: BTreeMap<i64, Judgement>,
}

impl Watched {
    /// Looks at an image before it changes. Costs next to nothing if no webhook wants verdicts.
    pub(crate) fn begin(rows: &Connection, image: &str) -> Result<Self, Error> {
        let before = judged(rows, image)?.into_iter().map(|(row, judged, _)| (row.repository_id, judged));
        Ok(Self { image: image.to_owned(), before: before.collect() })
    }

    /// Looks again, and tells what is another in the same transaction.
    pub(crate) fn end(self, rows: &Connection, origin: &Origin, now_ms: i64) -> Result<(), Error> {
        if self.before.is_empty() {
            return Ok(());
        }
        for (row, to, size) in judged(rows, &self.image)? {
            let Some(from) = self.before.get(&row.repository_id) else { continue };
            if (&from.state, &from.severities) == (&to.state, &to.severities) {
                continue;
            }
            let verdict = EventAction::Verdict;
            let Some(outbox) = Outbox::open(rows, row.registry.0, &[verdict], origin, now_ms)? else {
                continue;
            };
            let target = EventTarget {
                repository: row.repository.to_string(),
                tag: None,
                tags: row.tags.iter().map(ToString::to_string).collect(),
                digest: self.image.clone(),
                media_type: row.media_type.clone(),
                size,
            };
            outbox.put(verdict, target, Some(VerdictChange { from: from.clone(), to }))?;
        }
        Ok(())
    }
}

/// The image in each repository of a registry that has a webhook for verdicts, with the bytes of its manifest.
fn judged(rows: &Connection, image: &str) -> Result<Vec<(ImageRow, Judgement, u64)>, Error> {
    let wants = "SELECT 1 FROM webhook WHERE is_enabled AND actions & ?1 <> 0 LIMIT 1";
    if !rows.prepare_cached(wants)?.exists([EventAction::Verdict.bit()])? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "{IMAGE_ROWS} WHERE manifest.digest = ?1 AND manifest.kind <> 'index'
           AND EXISTS (SELECT 1 FROM webhook WHERE webhook.registry_id = registry.id AND is_enabled
                       AND actions & ?2 <> 0)"
    );
    let mut statement = rows.prepare_cached(&sql)?;
    let found = statement.query_map((image, EventAction::Verdict.bit()), raw_image)?;
    let mut judged = Vec::new();
    for raw in found {
        let row = image_row(rows, raw?)?;
        let (state, causes) = row.state();
        let judgement = Judgement {
            state: state.name().to_owned(),
            causes: causes.into_iter().map(|cause| cause.code).collect(),
            severities: match row.verdict {
                Some(_) => severities(rows, row.repository_id, image)?,
                None => BTreeMap::new(),
            },
        };
        let size = rows
            .prepare_cached("SELECT length(bytes) FROM manifest WHERE repository_id = ?1 AND digest = ?2")?
            .query_row((row.repository_id, image), |row| row.get(0))?;
        judged.push((row, judgement, size));
    }
    Ok(judged)
}

/// How many findings of which severity count against an image: those that no rule disables there.
fn severities(rows: &Connection, repository: i64, image: &str) -> Result<BTreeMap<String, u64>, Error> {
    let sql = "SELECT severity, count(*) FROM finding WHERE image = ?2 AND NOT EXISTS (
                 SELECT 1 FROM exemption WHERE exemption.repository_id = ?1 AND exemption.digest = finding.image
                   AND exemption.position = finding.position)
               GROUP BY severity";
    let mut statement = rows.prepare_cached(sql)?;
    let counts = statement.query_map((repository, image), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts.collect::<Result<_, _>>()?)
}
