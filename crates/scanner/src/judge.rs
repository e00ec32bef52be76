//! From an inventory to a verdict: what an image is besides its packages, and the call to matching.

use assessment::{Cause, ImageState, Verdict};
use inventory::ImageInventory;
use jiff::civil::Date;
use matching::{Evidence, StaleFeed};
use oci::{Content, Digest, ImageConfig, Manifest};

use crate::CurrentSnapshot;

/// What an image's manifest and configuration say of it.
#[derive(Clone, Debug)]
pub(crate) struct ImageFacts {
    /// From the lowest up.
    pub(crate) layers: Vec<Layer>,
    /// `None`: an artifact, or a configuration that does not parse.
    pub(crate) config: Option<ImageConfig>,
    /// False for charts, signatures, SBOMs.
    pub(crate) is_image: bool,
    /// Whether the layers' digests are those of their bytes.
    pub(crate) is_verifiable: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    /// False: not a filesystem change, or one in a form that nobody here can read.
    pub(crate) is_filesystem: bool,
}

impl ImageFacts {
    pub(crate) fn new(manifest: &Manifest, config: Option<ImageConfig>) -> Self {
        let layers = match manifest.content() {
            Content::Image { layers, .. } => layers.as_slice(),
            Content::Index { .. } => &[],
        };
        let layers = layers.iter().map(|layer| Layer {
            digest: layer.digest.clone(),
            is_filesystem: layer.media_type.layer_format().is_some(),
        });
        Self {
            layers: layers.collect(),
            config,
            is_image: manifest.is_container_image(),
            is_verifiable: true,
        }
    }

    /// The verdict on what cannot hold software that we judge; `None`: its layers must be read.
    pub(crate) fn not_applicable(&self) -> Option<Verdict> {
        let os = self.config.as_ref().map(|config| config.os.as_str()).unwrap_or_default();
        let (code, description) = if !self.is_image {
            ("NotAnImage", "this is an artifact, not a container image".to_owned())
        } else if os.eq_ignore_ascii_case("windows") {
            ("WindowsImage", "Windows images are not judged".to_owned())
        } else if !self.layers.is_empty() && self.layers.iter().all(|layer| !layer.is_filesystem) {
            // Encrypted images, and the attestations that builders put beside an image.
            ("NoReadableLayer", "none of its layers is a filesystem layer in a readable form".to_owned())
        } else {
            return None;
        };
        let causes = vec![Cause { code: code.to_owned(), description }];
        Some(Verdict { state: ImageState::NotApplicable, causes, findings: Vec::new() })
    }

    /// The command that made a layer, if the configuration tells.
    pub(crate) fn layer_command(&self, layer: &Digest) -> Option<&str> {
        let index = self.layers.iter().position(|known| known.digest == *layer)?;
        let command = self.config.as_ref()?.layer_command(index)?;
        // It is said with each finding of the layer.
        command.get(..command.floor_char_boundary(COMMAND_BYTES_MAX))
    }
}

/// What is said of a layer's command.
const COMMAND_BYTES_MAX: usize = 4_096;

/// Judges what was read, by the snapshot.
pub(crate) fn judge(
    facts: &ImageFacts,
    inventory: &ImageInventory,
    current: Option<&CurrentSnapshot>,
    stale: &[StaleFeed],
    today: Date,
) -> Verdict {
    facts.not_applicable().unwrap_or_else(|| {
        matching::judge(&Evidence {
            inventory,
            layer_command: &|layer| facts.layer_command(layer),
            snapshot: current,
            today,
            stale,
        })
    })
}

/// Under which keys a change of the advisories asks for a new judgement of this image.
pub(crate) fn rematch_keys(inventory: &ImageInventory) -> Vec<(String, String)> {
    let keys = matching::keys(inventory);
    let keys = keys.into_iter().map(|(namespace, package)| (namespace.to_string(), package));
    keys.chain([EVERY_IMAGE.map(str::to_owned).into()]).collect()
}

/// The key that every image is under: what a first snapshot changes.
pub(crate) const EVERY_IMAGE: [&str; 2] = ["", ""];
