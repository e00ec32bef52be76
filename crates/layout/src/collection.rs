//! All that a folder or archive holds, whichever form it has: names, manifests, blobs.

use std::collections::BTreeMap;
use std::path::Path;

use oci::{Descriptor, Digest, MediaType, Repository, Tag};
use serde::Deserialize;

use crate::{Files, LayoutError, Slice, distribution, docker, name};

/// The images of a folder or archive.
#[derive(Debug)]
pub struct Collection {
    files: Files,
    form: Form,
    /// What it lists, in its order.
    pub roots: Vec<Root>,
}

/// One image or index that is listed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The repository it was in, if its name tells.
    pub repository: Option<Repository>,
    /// Its tag, if it has one.
    pub tag: Option<Tag>,
    /// Which manifest.
    pub digest: Digest,
    /// What the list says that it is; empty if it does not.
    pub media_type: MediaType,
}

/// What a `docker save` archive holds, by digest.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) manifests: BTreeMap<Digest, Vec<u8>>,
    pub(crate) blobs: BTreeMap<Digest, Slice>,
}

#[derive(Debug)]
enum Form {
    Layout,
    Docker(Stored),
    Distribution { prefix: &'static str },
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Collection {
    /// What is at `path`. The layers of a `docker save` archive are read once, for their digests.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let files = Files::open(path)?;
        if files.find(INDEX).is_some() {
            let index: Index = files.json(INDEX)?;
            let roots = index.manifests.into_iter().map(root).collect();
            return Ok(Self { files, form: Form::Layout, roots });
        }
        if let Some(images) = files.docker_images()? {
            let (roots, stored) = docker::stored(&files, &images)?;
            return Ok(Self { files, form: Form::Docker(stored), roots });
        }
        if let Some(prefix) = distribution::prefix(&files) {
            let roots = distribution::roots(&files, prefix)?;
            return Ok(Self { files, form: Form::Distribution { prefix }, roots });
        }
        Err(LayoutError::NotAnImage { path: path.to_owned() })
    }

    /// The manifest of that digest; `None`: it is not here.
    ///
    /// # Errors
    /// [`LayoutError`] if it cannot be read, or is another than its digest says.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LayoutError> {
        if let Form::Docker(stored) = &self.form {
            return Ok(stored.manifests.get(digest).cloned());
        }
        let Some(found) = self.blob(digest) else { return Ok(None) };
        let bytes = self.files.document(&digest.to_string(), Some(found))?;
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            return Err(self.files.invalid(&digest.to_string()));
        }
        Ok(Some(bytes))
    }

    /// The bytes that should be the blob of that digest; `None`: they are not here.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<Slice> {
        match &self.form {
            Form::Layout => self.files.blob(digest),
            Form::Docker(stored) => stored.blobs.get(digest).cloned(),
            Form::Distribution { prefix } => distribution::blob(&self.files, prefix, digest),
        }
    }
}

fn root(descriptor: Descriptor) -> Root {
    let annotation = |key: &str| descriptor.annotations.as_ref()?.get(key).cloned();
    // containerd, and dockers that store by it, write the whole name in one of their own.
    let (repository, tag) = annotation("io.containerd.image.name")
        .or_else(|| annotation("org.opencontainers.image.ref.name"))
        .map_or((None, None), |text| name::parse(&text));
    Root { repository, tag, digest: descriptor.digest, media_type: descriptor.media_type }
}

const INDEX: &str = "index.json";
