//! Descriptors: pointers to content (image-spec, descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::null;
use crate::{Digest, MediaType, Platform};

/// What a piece of content is, what it is called, and how long it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default = "unknown_type", deserialize_with = "type_or_unknown")]
    pub media_type: MediaType,
    /// The content's name.
    pub digest: Digest,
    /// Its length in bytes. A negative one does not parse.
    pub size: u64,
    /// Where else it may be had; such a layer need not be in the registry.
    #[serde(default, deserialize_with = "null::list", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free key-value pairs.
    #[serde(default, deserialize_with = "null::pairs", skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// In an index: what the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The kind of artifact, where the content is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// True if it points at a manifest.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.media_type.is_manifest()
    }

    /// True if a registry must hold this layer before it may take the manifest.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.urls.is_empty() && !self.media_type.is_nondistributable()
    }
}

fn type_or_unknown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MediaType, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(unknown_type))
}

fn unknown_type() -> MediaType {
    MediaType::new("application/octet-stream")
}
