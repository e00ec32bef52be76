//! Images that lie in a folder or an archive instead of the registry: OCI layouts, `oci-archive`
//! and `docker save` tars. For `lazaret scan PATH`.

use std::io;
use std::path::Path;

use inventory::ImageInventory;
use layout::{DockerImage, Files, LayoutError, Pieces, Slice};
use oci::{Content, Descriptor, Digest, Hasher, ImageConfig, Manifest, Platform};
use sandbox::{Jail, Room};

use crate::ScanError;
use crate::judge::{ImageFacts, Layer};
use crate::read::outcome;
use crate::stack::stack;

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

/// The images at `path`, one a platform, in the order they are listed.
///
/// # Errors
/// [`LayoutError`].
pub fn local_images(path: &Path) -> Result<Vec<LocalImage>, LayoutError> {
    let files = Files::open(path)?;
    if files.find("index.json").is_some() {
        let index: Index = files.json("index.json")?;
        let mut images = Vec::new();
        images_of_index(&files, &index, 0, &mut images)?;
        return Ok(images);
    }
    let listed = files.docker_images()?.ok_or_else(|| LayoutError::NotAnImage { path: path.to_owned() })?;
    listed.into_iter().map(|listed| docker_image(&files, listed)).collect()
}

/// Reads a local image's layers in the jail and merges them.
///
/// # Errors
/// [`ScanError`] if a file cannot be read, or holds other bytes than its digest says.
pub async fn scan_local(image: &LocalImage, jail: &Jail) -> Result<ScannedImage, ScanError> {
    let load = |position: usize| async move {
        let (layer, slice) = (&image.facts.layers[position], &image.files[position]);
        let mut pieces = slice.pieces().map_err(ScanError::File)?;
        let mut hasher = Hasher::new(layer.digest.algorithm());
        let mut child = jail.spawn().map_err(ScanError::Spawn)?;
        while let Some(piece) = next_piece(&mut pieces, &mut hasher).map_err(ScanError::File)? {
            if !child.feed(&piece).await {
                break;
            }
        }
        let told = outcome(child.finish(&Room::default()).await)?;
        // The rest that a child did not want to see must be what it is called all the same.
        while next_piece(&mut pieces, &mut hasher).map_err(ScanError::File)?.is_some() {}
        if image.facts.is_verifiable && hasher.finish() != layer.digest {
            return Err(ScanError::DigestMismatch { layer: layer.digest.clone() });
        }
        Ok((told.inventory, told.bytes))
    };
    Ok(ScannedImage { inventory: stack(&image.facts.layers, load).await?, facts: image.facts.clone() })
}

fn next_piece(pieces: &mut Pieces, hasher: &mut Hasher) -> io::Result<Option<Vec<u8>>> {
    let piece = pieces.next_piece()?;
    hasher.update(piece.as_deref().unwrap_or_default());
    Ok(piece)
}

#[derive(serde::Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

fn images_of_index(
    files: &Files,
    index: &Index,
    depth: usize,
    images: &mut Vec<LocalImage>,
) -> Result<(), LayoutError> {
    for child in &index.manifests {
        let what = child.digest.to_string();
        let invalid = || files.invalid(&what);
        if depth > INDEX_DEPTH_MAX || images.len() >= IMAGES_MAX {
            return Err(invalid());
        }
        let bytes = files.document(&what, files.blob(&child.digest))?;
        if Digest::of(child.digest.algorithm(), &bytes) != child.digest {
            return Err(invalid());
        }
        if child.media_type.is_index() {
            let nested: Index = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
            images_of_index(files, &nested, depth + 1, images)?;
            continue;
        }
        let manifest = Manifest::parse(&child.media_type, bytes).map_err(|_| invalid())?;
        images.push(image(files, child, &manifest)?);
    }
    Ok(())
}

fn image(files: &Files, child: &Descriptor, manifest: &Manifest) -> Result<LocalImage, LayoutError> {
    let Content::Image { config, layers } = manifest.content() else {
        return Err(files.invalid(&child.digest.to_string()));
    };
    let config_bytes = files.document(&config.digest.to_string(), files.blob(&config.digest))?;
    let facts = ImageFacts::new(manifest, ImageConfig::parse(&config_bytes).ok());
    let slices = layers
        .iter()
        .map(|layer| files.blob(&layer.digest).ok_or_else(|| files.invalid(&layer.digest.to_string())))
        .collect::<Result<_, _>>()?;
    let name = child
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get("org.opencontainers.image.ref.name").cloned());
    let (digest, platform) = (child.digest.clone(), child.platform.clone());
    Ok(LocalImage { digest, name, platform, facts, files: slices })
}

fn docker_image(files: &Files, listed: DockerImage) -> Result<LocalImage, LayoutError> {
    let bytes = files.document(&listed.config, files.find(&listed.config))?;
    let config = ImageConfig::parse(&bytes).ok();
    let mut slices = Vec::new();
    let mut layers = Vec::new();
    for name in &listed.layers {
        slices.push(files.find(name).ok_or_else(|| files.invalid(name))?);
        // Such an archive names its layers by path, not by digest.
        layers.push(Layer { digest: Digest::sha256(name.as_bytes()), is_filesystem: true });
    }
    let digest = Digest::sha256(&bytes);
    let name = listed.tags.unwrap_or_default().into_iter().next();
    let facts = ImageFacts { layers, config, is_image: true, is_verifiable: false };
    Ok(LocalImage { digest, name, platform: None, facts, files: slices })
}

const IMAGES_MAX: usize = 1_000;
const INDEX_DEPTH_MAX: usize = 8;
