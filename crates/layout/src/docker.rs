//! What `docker save` writes: `manifest.json`, configurations and layers, by path.

use std::collections::BTreeMap;

use oci::{Algorithm, Digest, Hasher, LayerFormat, MediaType};
use serde::Deserialize;
use serde_json::json;

use crate::collection::{Root, Stored};
use crate::{Files, LayoutError, Slice, name};

/// One image of such an archive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DockerImage {
    /// The configuration's path.
    #[serde(rename = "Config")]
    pub config: String,
    /// What it was saved as.
    #[serde(rename = "RepoTags", default)]
    pub tags: Option<Vec<String>>,
    /// The layers' paths, from the lowest up.
    #[serde(rename = "Layers")]
    pub layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: Rootfs,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Vec<Digest>,
}

impl Files {
    /// The images that `manifest.json` lists; `None`: there is no such file.
    ///
    /// # Errors
    /// [`LayoutError`] if it is something else.
    pub fn docker_images(&self) -> Result<Option<Vec<DockerImage>>, LayoutError> {
        if self.find(LIST).is_none() {
            return Ok(None);
        }
        let images: Vec<DockerImage> = self.json(LIST)?;
        if images.len() > IMAGES_MAX {
            let path = self.root().to_owned();
            return Err(LayoutError::TooMany { path, what: "images", max: IMAGES_MAX });
        }
        Ok(Some(images))
    }
}

/// Such an archive has no manifests: they are made here, of what it has, the same for the same image.
pub(crate) fn stored(files: &Files, images: &[DockerImage]) -> Result<(Vec<Root>, Stored), LayoutError> {
    let mut stored = Stored::default();
    let mut hashed: BTreeMap<&str, (Digest, Slice)> = BTreeMap::new();
    let mut roots = Vec::new();
    for image in images {
        let config_file = files.find(&image.config);
        let config_bytes = files.document(&image.config, config_file.clone())?;
        let config: Config =
            serde_json::from_slice(&config_bytes).map_err(|_| files.invalid(&image.config))?;
        if config.rootfs.diff_ids.len() != image.layers.len() {
            return Err(files.invalid(&format!("{}: as many diff IDs as layers", image.config)));
        }
        let mut layers = Vec::new();
        for (path, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            let (digest, slice) = match hashed.get(path.as_str()) {
                Some(known) => known.clone(),
                None => {
                    let slice = files.find(path).ok_or_else(|| files.invalid(path))?;
                    let failed = |source| LayoutError::File { path: files.root().join(path), source };
                    (digest(&slice).map_err(failed)?, slice)
                }
            };
            hashed.insert(path, (digest.clone(), slice.clone()));
            let format = format(&slice)
                .map_err(|source| LayoutError::File { path: files.root().join(path), source })?;
            // Unpacked, a layer is what its configuration names; packed ones are for the scan to open.
            if format == LayerFormat::Tar && digest != *diff_id {
                return Err(files.invalid(&format!("{path}: it is not the layer {diff_id}")));
            }
            let suffix = match format {
                LayerFormat::Tar => "",
                LayerFormat::TarGzip => "+gzip",
                LayerFormat::TarZstd => "+zstd",
            };
            let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
            layers.push(json!({ "mediaType": media_type, "digest": digest, "size": slice.len() }));
            stored.blobs.insert(digest, slice);
        }
        let config_digest = Digest::sha256(&config_bytes);
        let config_file = config_file.ok_or_else(|| files.invalid(&image.config))?;
        stored.blobs.insert(config_digest.clone(), config_file);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": MediaType::OCI_CONFIG, "digest": config_digest, "size": config_bytes.len() },
            "layers": layers,
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::sha256(&bytes);
        stored.manifests.insert(digest.clone(), bytes);
        let names: Vec<_> = image.tags.iter().flatten().map(|text| name::parse(text)).collect();
        let names = if names.is_empty() { vec![(None, None)] } else { names };
        roots.extend(names.into_iter().map(|(repository, tag)| Root {
            repository,
            tag,
            digest: digest.clone(),
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
        }));
    }
    Ok((roots, stored))
}

fn digest(slice: &Slice) -> std::io::Result<Digest> {
    let (mut pieces, mut hasher) = (slice.pieces()?, Hasher::new(Algorithm::Sha256));
    while let Some(piece) = pieces.next_piece()? {
        hasher.update(&piece);
    }
    Ok(hasher.finish())
}

/// By the first bytes (RFC 1952, RFC 8878).
fn format(slice: &Slice) -> std::io::Result<LayerFormat> {
    let first = slice.pieces()?.next_piece()?.unwrap_or_default();
    Ok(match first.as_slice() {
        [0x1f, 0x8b, ..] => LayerFormat::TarGzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => LayerFormat::TarZstd,
        _ => LayerFormat::Tar,
    })
}

const LIST: &str = "manifest.json";
const IMAGES_MAX: usize = 1_000;
