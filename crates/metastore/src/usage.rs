//! What subscriptions have used: images judged, each digest once a month.

use oci::Digest;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::assessed::note_leaving;
use crate::repository::parse_digest;
use crate::{Error, Metastore};

/// One image that a subscription is charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeteredImage {
    /// Its digest; it may be gone by now.
    pub image: Digest,
    /// When it was first judged there in its month.
    pub at_ms: i64,
}

/// When an image that is to be counted was judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// In this transaction.
    Now,
    /// Earlier, maybe for another subscription.
    Before,
}

impl Metastore {
    /// Counts an image that was judged before it came to all the subscriptions that have it now, where
    /// it never was counted.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn meter_image(&self, image: &Digest, now_ms: i64) -> Result<(), Error> {
        let image = image.to_string();
        self.write(move |rows| meter(rows, &image, Judged::Before, now_ms)).await
    }

    /// The images that a subscription is charged for, of those first judged in `from_ms..until_ms`, the
    /// newest first; `limit` at most, from beyond the one named by `after` on.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn metered(
        &self,
        subscription: Uuid,
        from_ms: i64,
        until_ms: i64,
        after: Option<MeteredImage>,
        limit: usize,
    ) -> Result<Vec<MeteredImage>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT image, at_ms FROM metered
                 WHERE subscription_id = ?1 AND at_ms >= ?2 AND (at_ms, image) < (?3, ?4)
                 ORDER BY at_ms DESC, image DESC LIMIT ?5",
            )?;
            // No digest is less than the empty text: without `after`, `until_ms` itself is excluded.
            let (until_ms, image) =
                after.map_or((until_ms, String::new()), |after| (after.at_ms, after.image.to_string()));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement
                .query_map(params![subscription.to_string(), from_ms, until_ms, image, limit], |row| {
                    Ok((row.get::<_, String>(0)?, row.get(1)?))
                })?;
            found
                .map(|row| {
                    let (image, at_ms) = row?;
                    Ok(MeteredImage { image: parse_digest(&image)?, at_ms })
                })
                .collect()
        })
        .await
    }
}

/// Counts an image in every subscription that has it and a plan on, once a month each. One that could
/// not be judged, or need not be, costs nothing. Every registry of these subscriptions shows its verdict from now
/// on, and after the plan went off.
pub(crate) fn meter(rows: &Connection, image: &str, judged: Judged, now_ms: i64) -> Result<(), Error> {
    rows.prepare_cached(
        "INSERT INTO metered (subscription_id, image, month, at_ms)
         SELECT DISTINCT registry.subscription_id, image.digest, strftime('%Y-%m', ?2 / 1000, 'unixepoch'), ?2
         FROM image
         JOIN manifest ON manifest.digest = image.digest
         JOIN repository ON repository.id = manifest.repository_id
         JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL
         JOIN plan ON plan.subscription_id = registry.subscription_id
         WHERE image.digest = ?1 AND image.state IN ('Healthy', 'Unhealthy') AND plan.tier = 'Standard'
           AND (?3 OR NOT EXISTS (SELECT 1 FROM metered
                WHERE metered.subscription_id = registry.subscription_id AND metered.image = image.digest))
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![image, now_ms, judged == Judged::Now])?;
    show_verdict(rows, image, now_ms)
}

/// Gives a judged image's verdict to every registry that has it and whose subscription has a plan on: it is shown
/// there from now on, and after the plan went off.
pub(crate) fn show_verdict(rows: &Connection, image: &str, now_ms: i64) -> Result<(), Error> {
    let sql =
        format!("{GIVE_VERDICTS} WHERE image.digest = ?2 AND plan.tier = 'Standard' ON CONFLICT DO NOTHING");
    rows.prepare_cached(&sql)?.execute(params![now_ms, image])?;
    Ok(())
}

/// The same for every judged image of a subscription.
pub(crate) fn show_verdicts(rows: &Connection, subscription: &str, now_ms: i64) -> Result<(), Error> {
    let sql = format!(
        "{GIVE_VERDICTS} WHERE registry.subscription_id = ?2 AND plan.tier = 'Standard' ON CONFLICT DO NOTHING"
    );
    rows.prepare_cached(&sql)?.execute(params![now_ms, subscription])?;
    Ok(())
}

/// To be called before an image is judged anew. The verdict will be that of those whose plan is on: where it is off,
/// the one that was kept is shown no longer, and none takes its place. If the plan is on nowhere, the new one was
/// begun for those who keep it.
pub(crate) fn end_kept(rows: &Connection, image: &str, now_ms: i64) -> Result<(), Error> {
    let mut kept = rows.prepare_cached(
        "SELECT DISTINCT repository.id FROM judged_in
         JOIN registry ON registry.id = judged_in.registry_id
         JOIN repository ON repository.registry_id = registry.id
         JOIN manifest ON manifest.repository_id = repository.id AND manifest.digest = judged_in.image
         WHERE judged_in.image = ?1
           AND NOT EXISTS (SELECT 1 FROM plan
                           WHERE plan.subscription_id = registry.subscription_id AND plan.tier = 'Standard')
           AND EXISTS (SELECT 1 FROM manifest AS paid
                       JOIN repository AS home ON home.id = paid.repository_id
                       JOIN registry AS payer ON payer.id = home.registry_id AND payer.deleted_ms IS NULL
                       JOIN plan ON plan.subscription_id = payer.subscription_id AND plan.tier = 'Standard'
                       WHERE paid.digest = ?1)",
    )?;
    let kept: Vec<i64> = kept.query_map([image], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for repository in &kept {
        note_leaving(rows, (*repository, image), now_ms)?;
    }
    let mut end = rows.prepare_cached(
        "DELETE FROM judged_in
         WHERE image = ?2 AND registry_id = (SELECT registry_id FROM repository WHERE id = ?1)",
    )?;
    for repository in kept {
        end.execute(params![repository, image])?;
    }
    Ok(())
}

const GIVE_VERDICTS: &str = "INSERT INTO judged_in (registry_id, image, first_ms)
 SELECT DISTINCT registry.id, image.digest, ?1 FROM image
 JOIN manifest ON manifest.digest = image.digest AND manifest.kind <> 'index'
 JOIN repository ON repository.id = manifest.repository_id
 JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL
 JOIN plan ON plan.subscription_id = registry.subscription_id";
