//! Images that lie in a folder or an archive instead of the registry: OCI layouts, `oci-archive`
//! and `docker save` tars. For `lazaret scan PATH`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use inventory::ImageInventory;
use oci::{Content, Descriptor, Digest, Hasher, ImageConfig, Manifest, Platform};
use sandbox::Jail;

use crate::ScanError;
use crate::judge::{ImageFacts, Layer};
use crate::read::read_pieces;

/// One image found in a folder or archive.
#[derive(Clone, Debug)]
pub struct LocalImage {
    /// The manifest's digest; for a `docker save` archive the configuration's.
    pub digest: Digest,
    /// The name it was saved under, if any.
    pub name: Option<String>,
    /// What it runs on, if the index says.
    pub platform: Option<Platform>,
    facts: ImageFacts,
    files: Vec<Slice>,
}

/// What a local image holds.
#[derive(Clone, Debug)]
pub struct ScannedImage {
    /// The merged inventory.
    pub inventory: ImageInventory,
    pub(crate) facts: ImageFacts,
}

/// Why a path holds no image that we can read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is neither an OCI layout folder nor an oci-archive or docker-archive tar", path.display())]
    NotAnImage {
        /// Which path.
        path: PathBuf,
    },
    /// It should have a document and has none, or a broken one.
    #[error("{} has no valid {what}", path.display())]
    Document {
        /// Which path.
        path: PathBuf,
        /// Which document.
        what: String,
    },
}

/// Bytes within a file.
#[derive(Clone, Debug)]
struct Slice {
    path: PathBuf,
    offset: u64,
    len: u64,
}

/// The images at `path`, one a platform, in the order they are listed.
///
/// # Errors
/// [`LayoutError`].
pub fn local_images(path: &Path) -> Result<Vec<LocalImage>, LayoutError> {
    let files = Files::open(path)?;
    if files.find("index.json").is_some() {
        let index: Index = files.json("index.json")?;
        let mut images = Vec::new();
        files.images_of_index(&index, 0, &mut images)?;
        return Ok(images);
    }
    if files.find("manifest.json").is_some() {
        return files.docker_images();
    }
    Err(LayoutError::NotAnImage { path: path.to_owned() })
}

/// Reads a local image's layers in the jail and merges them.
///
/// # Errors
/// [`ScanError`] if a file cannot be read, or holds other bytes than its digest says.
pub async fn scan_local(image: &LocalImage, jail: &Jail) -> Result<ScannedImage, ScanError> {
    let mut layers = Vec::new();
    for (layer, slice) in image.facts.layers.iter().zip(&image.files) {
        let file = File::open(&slice.path).map_err(ScanError::File)?;
        let mut read = 0;
        let mut hasher = Hasher::new(layer.digest.algorithm());
        let inventory = read_pieces(jail, || {
            let piece = next_piece(&file, slice, &mut read, &mut hasher);
            async { piece }
        })
        .await?;
        // The rest that a child did not want to see must be what it is called all the same.
        while next_piece(&file, slice, &mut read, &mut hasher).map_err(ScanError::File)?.is_some() {}
        if image.facts.is_verifiable && hasher.finish() != layer.digest {
            return Err(ScanError::DigestMismatch { layer: layer.digest.clone() });
        }
        layers.push((layer.digest.clone(), inventory));
    }
    Ok(ScannedImage { inventory: inventory::coalesce(&layers), facts: image.facts.clone() })
}

fn next_piece(
    file: &File,
    slice: &Slice,
    read: &mut u64,
    hasher: &mut Hasher,
) -> io::Result<Option<Vec<u8>>> {
    let want = usize::try_from(slice.len - *read).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    if want == 0 {
        return Ok(None);
    }
    let mut piece = vec![0; want];
    file.read_exact_at(&mut piece, slice.offset + *read)?;
    hasher.update(&piece);
    *read += want as u64;
    Ok(Some(piece))
}

/// The files of a folder or of an archive, by name.
struct Files {
    root: PathBuf,
    /// `None`: a folder, whose files are found by their path.
    archive: Option<BTreeMap<String, Slice>>,
}

#[derive(serde::Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(serde::Deserialize)]
struct DockerImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

impl Files {
    fn open(root: &Path) -> Result<Self, LayoutError> {
        let failed = |source| LayoutError::File { path: root.to_owned(), source };
        if std::fs::metadata(root).map_err(failed)?.is_dir() {
            return Ok(Self { root: root.to_owned(), archive: None });
        }
        let mut archive = tar::Archive::new(File::open(root).map_err(failed)?);
        let mut files = BTreeMap::new();
        let not_an_image = |_| LayoutError::NotAnImage { path: root.to_owned() };
        for entry in archive.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(not_an_image)?;
            if !entry.header().entry_type().is_file() || files.len() >= ARCHIVE_FILES_MAX {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            let slice = Slice { path: root.to_owned(), offset: entry.raw_file_position(), len: entry.size() };
            files.insert(name, slice);
        }
        Ok(Self { root: root.to_owned(), archive: Some(files) })
    }

    fn find(&self, name: &str) -> Option<Slice> {
        if let Some(archive) = &self.archive {
            return archive.get(name).cloned();
        }
        // Names come out of documents: none may lead out of the folder.
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !name.split('/').all(is_plain) {
            return None;
        }
        let path = self.root.join(name);
        let len = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?.len();
        Some(Slice { path, offset: 0, len })
    }

    fn blob(&self, digest: &Digest) -> Option<Slice> {
        self.find(&format!("blobs/{}/{}", digest.algorithm().name(), digest.hex()))
    }

    fn document(&self, what: &str, slice: Option<Slice>) -> Result<Vec<u8>, LayoutError> {
        let missing = || LayoutError::Document { path: self.root.clone(), what: what.to_owned() };
        let slice = slice.filter(|slice| slice.len <= DOCUMENT_BYTES_MAX).ok_or_else(missing)?;
        let read = || {
            let mut file = File::open(&slice.path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(slice.offset))?;
            let mut bytes = Vec::new();
            file.take(slice.len).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|source| LayoutError::File { path: slice.path.clone(), source })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, LayoutError> {
        let bytes = self.document(name, self.find(name))?;
        serde_json::from_slice(&bytes)
            .map_err(|_| LayoutError::Document { path: self.root.clone(), what: name.to_owned() })
    }

    fn images_of_index(
        &self,
        index: &Index,
        depth: usize,
        images: &mut Vec<LocalImage>,
    ) -> Result<(), LayoutError> {
        for child in &index.manifests {
            let what = child.digest.to_string();
            let invalid = || LayoutError::Document { path: self.root.clone(), what: what.clone() };
            if depth > INDEX_DEPTH_MAX || images.len() >= IMAGES_MAX {
                return Err(invalid());
            }
            let bytes = self.document(&what, self.blob(&child.digest))?;
            if Digest::of(child.digest.algorithm(), &bytes) != child.digest {
                return Err(invalid());
            }
            if child.media_type.is_index() {
                let nested: Index = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
                self.images_of_index(&nested, depth + 1, images)?;
                continue;
            }
            let manifest = Manifest::parse(&child.media_type, bytes).map_err(|_| invalid())?;
            images.push(self.image(child, &manifest)?);
        }
        Ok(())
    }

    fn image(&self, child: &Descriptor, manifest: &Manifest) -> Result<LocalImage, LayoutError> {
        let Content::Image { config, layers } = manifest.content() else {
            return Err(LayoutError::Document { path: self.root.clone(), what: child.digest.to_string() });
        };
        let config_bytes = self.document(&config.digest.to_string(), self.blob(&config.digest))?;
        let facts = ImageFacts::new(manifest, ImageConfig::parse(&config_bytes).ok());
        let files = layers
            .iter()
            .map(|layer| {
                let missing =
                    || LayoutError::Document { path: self.root.clone(), what: layer.digest.to_string() };
                self.blob(&layer.digest).ok_or_else(missing)
            })
            .collect::<Result<_, _>>()?;
        let name = child
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get("org.opencontainers.image.ref.name").cloned());
        Ok(LocalImage { digest: child.digest.clone(), name, platform: child.platform.clone(), facts, files })
    }

    fn docker_images(&self) -> Result<Vec<LocalImage>, LayoutError> {
        let listed: Vec<DockerImage> = self.json("manifest.json")?;
        let image = |listed: DockerImage| {
            let bytes = self.document(&listed.config, self.find(&listed.config))?;
            let config = ImageConfig::parse(&bytes).ok();
            let missing =
                |name: &str| LayoutError::Document { path: self.root.clone(), what: name.to_owned() };
            let mut files = Vec::new();
            let mut layers = Vec::new();
            for name in &listed.layers {
                files.push(self.find(name).ok_or_else(|| missing(name))?);
                // Such an archive names its layers by path, not by digest.
                layers.push(Layer { digest: Digest::sha256(name.as_bytes()), is_filesystem: true });
            }
            let digest = Digest::sha256(&bytes);
            let name = listed.tags.unwrap_or_default().into_iter().next();
            let facts = ImageFacts { layers, config, is_image: true, is_verifiable: false };
            Ok(LocalImage { digest, name, platform: None, facts, files })
        };
        listed.into_iter().take(IMAGES_MAX).map(image).collect()
    }
}

const PIECE_BYTES: usize = 256 * 1024;
const DOCUMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
const ARCHIVE_FILES_MAX: usize = 100_000;
const IMAGES_MAX: usize = 1_000;
const INDEX_DEPTH_MAX: usize = 8;
