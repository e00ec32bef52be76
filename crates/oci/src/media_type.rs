//! Media types: what a descriptor says its content is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A media type without parameters, lower-cased: `application/vnd.oci.image.manifest.v1+json`.
///
/// Types that we do not know are legal everywhere (artifacts), so this is a text with questions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

impl MediaType {
    /// The OCI image manifest.
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// The OCI image index.
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// Docker's image manifest, schema 2.
    pub const DOCKER_MANIFEST: &'static str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &'static str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// The OCI image configuration.
    pub const OCI_CONFIG: &'static str = "application/vnd.oci.image.config.v1+json";
    /// Docker's image configuration.
    pub const DOCKER_CONFIG: &'static str = "application/vnd.docker.container.image.v1+json";

    /// From a `Content-Type` header or a `mediaType` field: parameters are cut off.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let bare = text.split(';').next().unwrap_or_default().trim();
        Self(bare.to_ascii_lowercase())
    }

    /// What a manifest's own bytes say that it is: by its `mediaType`, else by its shape, which is then
    /// OCI's. `None`: it is no manifest.
    ///
    /// ```
    /// let index = oci::MediaType::of_document(br#"{"schemaVersion":2,"manifests":[]}"#);
    /// assert!(index.is_some_and(|media_type| media_type.is_index()));
    /// ```
    #[must_use]
    pub fn of_document(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Document {
            media_type: Option<String>,
            config: Option<serde::de::IgnoredAny>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let document: Document = serde_json::from_slice(bytes).ok()?;
        match document {
            Document { media_type: Some(stated), .. } => Some(Self::new(&stated)),
            Document { manifests: Some(_), config: None, .. } => Some(Self::new(Self::OCI_INDEX)),
            Document { config: Some(_), manifests: None, .. } => Some(Self::new(Self::OCI_MANIFEST)),
            _ => None,
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An image index or a manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), Self::OCI_INDEX | Self::DOCKER_LIST)
    }

    /// An image manifest, of whichever kind.
    #[must_use]
    pub fn is_image_manifest(&self) -> bool {
        matches!(self.as_str(), Self::OCI_MANIFEST | Self::DOCKER_MANIFEST)
    }

    /// What may be pushed as a manifest.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.is_index() || self.is_image_manifest()
    }

    /// The configuration of a container image (an artifact's has another type).
    #[must_use]
    pub fn is_image_config(&self) -> bool {
        matches!(self.as_str(), Self::OCI_CONFIG | Self::DOCKER_CONFIG)
    }

    /// A layer that a registry need not hold (image-spec, "Non-Distributable Layers").
    #[must_use]
    pub fn is_nondistributable(&self) -> bool {
        self.0.contains(".nondistributable.") || self.0.contains(".rootfs.foreign.")
    }

    /// How a layer's filesystem change is packed; `None` if this is no layer type that we can read.
    #[must_use]
    pub fn layer_format(&self) -> Option<LayerFormat> {
        match self
            .0
            .strip_prefix("application/vnd.oci.image.layer.")
            .map(|rest| rest.strip_prefix("nondistributable.").unwrap_or(rest))
        {
            Some("v1.tar") => return Some(LayerFormat::Tar),
            Some("v1.tar+gzip") => return Some(LayerFormat::TarGzip),
            Some("v1.tar+zstd") => return Some(LayerFormat::TarZstd),
            _ => {}
        }
        match self.as_str() {
            "application/vnd.docker.image.rootfs.diff.tar" => Some(LayerFormat::Tar),
            "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Some(LayerFormat::TarGzip),
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(LayerFormat::TarZstd),
            _ => None,
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the tar of a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerFormat {
    /// Not at all.
    Tar,
    /// RFC 1952.
    TarGzip,
    /// RFC 8878.
    TarZstd,
}
