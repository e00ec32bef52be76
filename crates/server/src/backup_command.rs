//! `lazaret backup`: everything that a server needs, in a folder that is a data folder itself.

use std::fs;

use blobstore::BlobStore;
use oci::Digest;

use crate::Failure;
use crate::cli::BackupArgs;
use crate::data::{DataError, DataFolder};
use crate::output::say;
use crate::table::counted;

/// Rows first, as they are at one instant; then the bytes that those rows name. What is pushed
/// meanwhile is not in it, what is deleted meanwhile is.
pub(crate) async fn run(arguments: BackupArgs) -> Result<(), Failure> {
    let data = DataFolder::existing(&arguments.data.path)?;
    let target = &arguments.target;
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!(
            "{} is not empty: name a folder that is empty or not there yet",
            target.display()
        )
        .into());
    }
    let copy = DataFolder::create(target).map_err(|error| match error {
        DataError::Unusable { source, .. } => {
            Failure::from(format!("nothing can be written to {}: {source}", target.display()))
        }
        other => other.into(),
    })?;
    if fs::canonicalize(target)?.starts_with(fs::canonicalize(&arguments.data.path)?) {
        fs::remove_dir(target)?;
        return Err(format!(
            "{} lies in the data folder and would be lost with it: name a folder elsewhere",
            target.display()
        )
        .into());
    }
    // No import may remove what the rows name while it is copied.
    let _advisories = data.importing()?;
    data.metastore()?.copy_to(&copy.path(crate::data::DATABASE)).await?;
    for secret in ["token.key", "ca.key"] {
        copy.write(secret, &fs::read(data.path(secret))?, 0o600)?;
    }
    copy.write(crate::tls::CA_CERTIFICATE, &fs::read(data.path(crate::tls::CA_CERTIFICATE))?, 0o600)?;

    let rows = copy.metastore()?;
    let advisories = data.advisory_blobs()?;
    copy_all(&advisories, &copy.advisory_blobs()?, advisories.list().await?.blobs).await?;
    let blobs: Vec<Digest> = rows.blobs().await?.into_iter().map(|blob| blob.digest).collect();
    let (copied, gone) = copy_all(&data.blobs()?, &copy.blobs()?, blobs).await?;
    // Only what nothing needed can have been given back since the rows were copied.
    for digest in &gone {
        rows.drop_blob(digest).await?;
    }
    say!(
        "{} copied to {}, with all rows; `lazaret serve --data {}` serves them",
        counted(copied, "blob is", "blobs are"),
        target.display(),
        target.display()
    );
    Ok(())
}

/// How many were copied, and which were not there.
async fn copy_all(
    from: &BlobStore,
    to: &BlobStore,
    digests: Vec<Digest>,
) -> Result<(usize, Vec<Digest>), Failure> {
    let mut gone = Vec::new();
    let mut copied = 0;
    for digest in digests {
        if from.copy_to(&digest, to).await? {
            copied += 1;
        } else {
            gone.push(digest);
        }
    }
    Ok((copied, gone))
}
