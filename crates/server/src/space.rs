//! Gives back space that nothing needs: every hour in a running server, and at once by `lazaret purge`.

use std::sync::Arc;

use registry::{Collected, NobodyWatches, Registry};

use crate::data::{DataError, DataFolder};
use crate::local::{self, Question};
use crate::table::counted;
use crate::{Failure, now_ms};

/// Removes blobs that no manifest needs. `None`: an import is under way, and what it brings would look
/// unneeded until it refers to it.
pub(crate) async fn collect(registry: &Registry, data: &DataFolder) -> Result<Option<Collected>, Failure> {
    let Some(_alone) = data.removing_blobs()? else { return Ok(None) };
    Ok(Some(registry.collect().await?))
}

/// The same for a command, and what came of it in a sentence. A server that runs does it itself: it alone
/// knows which blobs its uploads are about to refer to.
pub(crate) async fn collect_now(data: &DataFolder) -> Result<String, Failure> {
    if let Some(shown) = local::ask(data, &Question::Collect).await? {
        return Ok(shown.into_text());
    }
    let _alone = match data.lock() {
        Err(DataError::InUse { .. }) => {
            return Ok("the server that runs removes blobs that no manifest needs within the hour".to_owned());
        }
        lock => lock?,
    };
    let (rows, blobs) = (data.metastore()?, data.blobs()?);
    let registry = Registry::new(rows, blobs, Arc::new(NobodyWatches), Arc::new(|| ()), Arc::new(now_ms));
    Ok(sentence(collect(&registry, data).await?))
}

/// What a collection did.
pub(crate) fn sentence(collected: Option<Collected>) -> String {
    match collected {
        Some(Collected { removed: 0, .. }) => {
            "no blob could be removed: one goes a day after it was last needed or asked for".to_owned()
        }
        Some(Collected { removed, .. }) => {
            format!("{} removed that no manifest needs", counted(removed, "blob is", "blobs are"))
        }
        None => "an import is under way: blobs that no manifest needs are removed after it".to_owned(),
    }
}
