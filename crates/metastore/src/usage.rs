//! What subscriptions have used: images judged, each digest once.

use oci::Digest;
use rusqlite::params;
use uuid::Uuid;

use crate::image::meter;
use crate::repository::parse_digest;
use crate::{Error, Metastore};

/// One image that a subscription is charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeteredImage {
    /// Its digest; it may be gone by now.
    pub image: Digest,
    /// When it was first judged there.
    pub at_ms: i64,
}

impl Metastore {
    /// Counts an image that was judged before it came to all the subscriptions that have it now.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn meter_image(&self, image: &Digest, now_ms: i64) -> Result<(), Error> {
        let image = image.to_string();
        self.write(move |rows| meter(rows, &image, now_ms)).await
    }

    /// The images that a subscription is charged for, of those first judged in `from_ms..until_ms`, in
    /// that order.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn metered(
        &self,
        subscription: Uuid,
        from_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<MeteredImage>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT image, at_ms FROM metered
                 WHERE subscription_id = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms, image",
            )?;
            let found = statement.query_map(params![subscription.to_string(), from_ms, until_ms], |row| {
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
