//! Manifests and image indexes (image-spec, manifest.md and image-index.md; Docker schema 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::null;
use crate::{Algorithm, Descriptor, Digest, MediaType};

/// One manifest as it was pushed: its exact bytes, and what they say.
///
/// Holding one means that its shape was checked: it is an image or an index, never both
/// (the type confusion of CVE-2021-41190), and its media type is the one it was pushed with.
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Vec<u8>,
    media_type: MediaType,
    content: Content,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

/// What a manifest points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An image or an artifact.
    Image {
        /// The configuration; its media type tells an image from an artifact.
        config: Box<Descriptor>,
        /// From the lowest up.
        layers: Vec<Descriptor>,
    },
    /// A list of manifests, one a platform.
    Index {
        /// The children, in the order they were listed.
        manifests: Vec<Descriptor>,
    },
}

impl Manifest {
    /// The size we take, in bytes: containerd reads no more, others allow the same.
    pub const BYTES_MAX: usize = 4 * 1024 * 1024;

    /// Parses `bytes` pushed as `media_type`.
    ///
    /// # Errors
    /// [`InvalidManifest`], one variant a reason.
    pub fn parse(media_type: &MediaType, bytes: Vec<u8>) -> Result<Self, InvalidManifest> {
        let raw: Raw = serde_json::from_slice(&bytes).map_err(InvalidManifest::Json)?;
        if raw.schema_version != 2 {
            return Err(InvalidManifest::SchemaVersion);
        }
        if let Some(stated) = &raw.media_type
            && MediaType::new(stated) != *media_type
        {
            return Err(InvalidManifest::TypeDisagrees {
                pushed: media_type.clone(),
                stated: stated.clone(),
            });
        }
        // `"manifests": null` is an empty list where there must be one, and nothing where there may be none.
        let manifests = match raw.manifests {
            Some(None) if !media_type.is_index() => None,
            manifests => manifests.map(Option::unwrap_or_default),
        };
        let content = match (raw.config, raw.layers, manifests) {
            (Some(config), layers, None) if !media_type.is_index() => {
                Content::Image { config: Box::new(config), layers: layers.unwrap_or_default() }
            }
            (None, None, Some(manifests)) if !media_type.is_image_manifest() => Content::Index { manifests },
            _ => return Err(InvalidManifest::Shape),
        };
        let children = match &content {
            Content::Image { layers, .. } => layers.len(),
            Content::Index { manifests } => manifests.len(),
        };
        if children > CHILDREN_MAX {
            return Err(InvalidManifest::TooManyChildren { count: children });
        }
        Ok(Self {
            bytes,
            media_type: media_type.clone(),
            content,
            subject: raw.subject,
            artifact_type: raw.artifact_type,
            annotations: raw.annotations,
        })
    }

    /// The exact bytes that were pushed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of those bytes.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Digest {
        Digest::of(algorithm, &self.bytes)
    }

    /// The type it was pushed as.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// What it points at.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The manifest that this one is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// As a list of referrers shows it: the stated artifact type, else an image's config type
    /// (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        let stated = self.artifact_type.as_deref().filter(|text| !text.is_empty());
        stated.or(match &self.content {
            Content::Image { config, .. } => Some(config.media_type.as_str()),
            Content::Index { .. } => None,
        })
    }

    /// The manifest's own annotations.
    #[must_use]
    pub fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.annotations.as_ref()
    }

    /// True if this is an image that a runtime could start, rather than a chart, a signature or an SBOM.
    #[must_use]
    pub fn is_container_image(&self) -> bool {
        match &self.content {
            Content::Image { config, .. } => config.media_type.is_image_config(),
            Content::Index { .. } => false,
        }
    }

    /// The blobs that the repository must hold before it may take this manifest. An index may name some, too: a
    /// builder's cache names layers and one configuration (image-spec, image-index.md: a child may have any type).
    pub fn required_blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, listed, is_index) = match &self.content {
            Content::Image { config, layers } => (Some(config.as_ref()), layers.as_slice(), false),
            Content::Index { manifests } => (None, manifests.as_slice(), true),
        };
        let is_needed = move |it: &&Descriptor| if is_index { !it.is_manifest() } else { it.is_required() };
        config.into_iter().chain(listed.iter().filter(is_needed))
    }

    /// The manifests that the repository must hold before it may take this one.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        let listed = match &self.content {
            Content::Image { .. } => [].as_slice(),
            Content::Index { manifests } => manifests,
        };
        listed.iter().filter(|child| child.is_manifest())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Option<Vec<Descriptor>>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "null::pairs")]
    annotations: Option<BTreeMap<String, String>>,
}

/// A member that is there, be it `null`.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Why a pushed manifest is none.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// Not JSON, or a field has the wrong kind of value.
    #[error("the manifest cannot be read: {0}")]
    Json(serde_json::Error),
    /// Schema 1 is obsolete; others do not exist.
    #[error("the manifest's schemaVersion must be 2")]
    SchemaVersion,
    /// Pushed as one thing, calls itself another.
    #[error("the manifest was pushed as {pushed} but calls itself {stated}")]
    TypeDisagrees {
        /// The `Content-Type` of the push.
        pushed: MediaType,
        /// The document's own `mediaType`.
        stated: String,
    },
    /// Neither or both.
    #[error("a manifest has either config and layers, or manifests, as its media type says")]
    Shape,
    /// Pushed as something else.
    #[error("{media_type:?} is not the media type of a manifest: push it as one of OCI's or Docker's")]
    NoManifestType {
        /// The `Content-Type` of the push, or what the document calls itself.
        media_type: String,
    },
    /// More layers or children than any honest image has.
    #[error("the manifest names {count} layers or children, over the limit of {CHILDREN_MAX}")]
    TooManyChildren {
        /// How many it names.
        count: usize,
    },
}

/// Ours: overlay filesystems stop near 500 layers; big indexes hold dozens of platforms.
const CHILDREN_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(media_type: &str, text: &str) -> Result<Manifest, InvalidManifest> {
        Manifest::parse(&MediaType::new(media_type), text.into())
    }

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":2}}"#, Digest::sha256(b"{}"))
    }

    #[test]
    fn a_manifest_is_an_image_or_an_index_never_both() {
        let config = descriptor(MediaType::OCI_CONFIG);
        let image = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
        assert!(parse(MediaType::OCI_MANIFEST, &image).expect("image").is_container_image());
        assert!(parse(MediaType::OCI_INDEX, index).is_ok());
        for (media_type, text) in [
            (MediaType::OCI_INDEX, image.as_str()),
            (MediaType::OCI_MANIFEST, index),
            (MediaType::OCI_MANIFEST, &both),
            (MediaType::OCI_INDEX, &both),
            (MediaType::OCI_MANIFEST, r#"{"schemaVersion":2}"#),
        ] {
            assert!(matches!(parse(media_type, text), Err(InvalidManifest::Shape)), "{text}");
        }
    }

    #[test]
    fn the_document_may_not_disagree_with_its_push() {
        let text =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, MediaType::DOCKER_LIST);
        assert!(matches!(parse(MediaType::OCI_INDEX, &text), Err(InvalidManifest::TypeDisagrees { .. })));
        assert!(parse(&format!("{}; charset=utf-8", MediaType::DOCKER_LIST), &text).is_ok());
    }

    #[test]
    fn foreign_layers_need_not_be_held() {
        let layers = [
            descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip"),
        ]
        .join(",");
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{layers}]}}"#,
            descriptor(MediaType::OCI_CONFIG)
        );
        let manifest = parse(MediaType::OCI_MANIFEST, &text).expect("valid");
        assert_eq!(manifest.required_blobs().count(), 2);
    }

    #[test]
    fn an_index_names_manifests_and_blobs() {
        let named: Vec<_> = [
            MediaType::OCI_MANIFEST,
            MediaType::DOCKER_LIST,
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.buildkit.cacheconfig.v0",
        ]
        .map(descriptor)
        .into();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, named.join(","));
        let index = parse(MediaType::OCI_INDEX, &text).expect("valid");
        assert_eq!((index.children().count(), index.required_blobs().count()), (2, 2));
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let config = descriptor(MediaType::OCI_CONFIG);
        let full = config.replace(
            r#""size":2"#,
            r#""size":2,"urls":null,"data":null,"annotations":null,"platform":null,"artifactType":null"#,
        );
        let untyped = config.replace(&format!(r#""{}""#, MediaType::OCI_CONFIG), "null");
        let platform = r#""platform":{"os":null,"architecture":null,"variant":null,"os.version":null,"os.features":null}"#;
        let placed = config.replace(
            r#""size":2"#,
            &format!(r#""size":2,"urls":[null],"annotations":{{"a":null}},{platform}"#),
        );
        let nulls = r#""mediaType":null,"subject":null,"artifactType":null,"annotations":null"#;
        for text in [
            format!(r#"{{"schemaVersion":2,{nulls},"config":{full},"layers":null,"manifests":null}}"#),
            format!(r#"{{"schemaVersion":2,{nulls},"config":{config},"layers":[{untyped},{placed}]}}"#),
            format!(r#"{{"schemaVersion":2,"annotations":{{"a":null,"b":"c"}},"config":{config}}}"#),
        ] {
            let manifest =
                parse(MediaType::OCI_MANIFEST, &text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(manifest.is_container_image() && manifest.subject().is_none());
            assert!(manifest.annotations().is_none_or(|annotations| annotations.len() == 1));
        }
        let index =
            format!(r#"{{"schemaVersion":2,{nulls},"config":null,"layers":null,"manifests":[{placed}]}}"#);
        assert_eq!(parse(MediaType::OCI_INDEX, &index).expect("valid").required_blobs().count(), 1);
        let empty = r#"{"schemaVersion":2,"manifests":null}"#;
        assert_eq!(parse(MediaType::OCI_INDEX, empty).expect("an empty index").children().count(), 0);
        assert!(matches!(parse(MediaType::OCI_MANIFEST, empty), Err(InvalidManifest::Shape)));
        let history =
            br#"{"os":null,"architecture":null,"history":[{"created_by":null,"empty_layer":null},null]}"#;
        assert_eq!(crate::ImageConfig::parse(history).expect("valid").history.len(), 1);
        assert!(crate::ImageConfig::parse(br#"{"history":null}"#).is_ok());
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "[".repeat(100_000);
        let negative = r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":-1}]}"#;
        for text in ["", "[]", "{}", "null", &deep, negative, r#"{"schemaVersion":1}"#] {
            assert!(parse(MediaType::OCI_INDEX, text).is_err());
        }
    }
}
