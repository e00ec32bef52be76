//! `lazaret fsck`: reads everything that is stored and says what is not as it should be.

use std::process::ExitCode;
use std::sync::Arc;

use registry::{NobodyWatches, Registry};

use crate::cli::FsckArgs;
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{bytes, counted};
use crate::{Failure, now_ms};

pub(crate) async fn run(arguments: FsckArgs) -> Result<ExitCode, Failure> {
    let data = DataFolder::existing(&arguments.data.path)?;
    // Beside a server only looking is safe: what it holds in memory would still name what is forgotten.
    let _alone = arguments.repair.then(|| data.lock()).transpose()?;
    let metastore = data.metastore()?;
    let registry = Registry::new(
        metastore.clone(),
        data.blobs()?,
        Arc::new(NobodyWatches),
        Arc::new(|| ()),
        Arc::new(now_ms),
    );
    let checked = registry.check().await?;
    for digest in &checked.damaged {
        say!("damaged     blob {digest}: its bytes are not those of its digest");
    }
    for digest in &checked.missing {
        say!("missing     blob {digest}: its file is gone");
    }
    for (repository, digest) in &checked.damaged_manifests {
        say!("damaged     manifest {repository}@{digest}: push it again");
    }
    for (repository, digest, needed) in &checked.incomplete {
        say!("incomplete  {repository}@{digest} needs {needed}: push the image again");
    }
    let miscounted = metastore.miscounted().await?;
    for name in &miscounted {
        say!("miscounted  registry {name}: it holds other bytes than its quota is charged with");
    }
    if arguments.repair && !miscounted.is_empty() {
        metastore.recount().await?;
        say!("all registries are counted anew");
    }
    say!(
        "whole: {} of {}, {}",
        counted(checked.blobs, "blob", "blobs"),
        bytes(checked.bytes),
        counted(checked.manifests, "manifest", "manifests")
    );
    if checked.is_sound() {
        // A count is mended here and now.
        let is_counted = miscounted.is_empty() || arguments.repair;
        return Ok(if is_counted { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if checked.damaged.is_empty() && checked.missing.is_empty() {
        // Only a push mends manifests: each line says which.
        return Ok(ExitCode::FAILURE);
    }
    if arguments.repair {
        let forgotten = registry.forget_lost(&checked).await?;
        let forgotten = counted(forgotten, "lost or damaged blob is", "lost or damaged blobs are");
        say!("{forgotten} forgotten: push their images again, or restore a backup");
    } else {
        say!(
            "`lazaret fsck --repair`, with the server stopped, forgets lost blobs so that a push brings them again"
        );
    }
    Ok(ExitCode::FAILURE)
}
