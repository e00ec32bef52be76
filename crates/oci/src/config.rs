//! The image configuration (image-spec, config.md), as far as we read it.

use serde::{Deserialize, Serialize};

use crate::null;

/// What an image says of itself: platform, and the commands that made its layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ImageConfig {
    /// `linux`, `windows`, …; empty if it does not say.
    #[serde(default, deserialize_with = "null::or_default")]
    pub os: String,
    /// `amd64`, `arm64`, …; empty if it does not say.
    #[serde(default, deserialize_with = "null::or_default")]
    pub architecture: String,
    /// `v7`, `v8`, …, where the architecture has variants.
    #[serde(default)]
    pub variant: Option<String>,
    /// One entry a step; those that made no layer are marked so.
    #[serde(default, deserialize_with = "null::list")]
    pub history: Vec<History>,
}

impl ImageConfig {
    /// Reads a configuration blob.
    ///
    /// # Errors
    /// [`InvalidConfig`] if it is not JSON of that shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidConfig> {
        serde_json::from_slice(bytes).map_err(InvalidConfig)
    }

    /// `linux/amd64`, `linux/arm/v7`; `None` if it does not say.
    ///
    /// ```
    /// let config = oci::ImageConfig::parse(br#"{"os": "linux", "architecture": "arm", "variant": "v7"}"#);
    /// assert_eq!(config.unwrap().platform().as_deref(), Some("linux/arm/v7"));
    /// assert_eq!(oci::ImageConfig::parse(b"{}").unwrap().platform(), None);
    /// ```
    #[must_use]
    pub fn platform(&self) -> Option<String> {
        let unknown = |text: &str| text.is_empty() || text == "unknown";
        if unknown(&self.os) || unknown(&self.architecture) {
            return None;
        }
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        Some(
            [Some(&*self.os), Some(&*self.architecture), variant]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("/"),
        )
    }

    /// The command that made the layer at `index` (0 is the lowest), if the history tells.
    #[must_use]
    pub fn layer_command(&self, index: usize) -> Option<&str> {
        self.history
            .iter()
            .filter(|step| !step.empty_layer)
            .nth(index)
            .map(|step| step.created_by.as_str())
            .filter(|command| !command.is_empty())
    }
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct History {
    /// The command, as the builder wrote it.
    #[serde(default, deserialize_with = "null::or_default")]
    pub created_by: String,
    /// True if this step changed no file.
    #[serde(default, deserialize_with = "null::or_default")]
    pub empty_layer: bool,
}

/// What an image runs on (image-spec, image-index.md, `platform`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    #[serde(default, deserialize_with = "null::or_default")]
    pub architecture: String,
    /// `linux`, `windows`, …
    #[serde(default, deserialize_with = "null::or_default")]
    pub os: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Windows builds.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

/// The configuration blob is not what its media type says.
#[derive(Debug, thiserror::Error)]
#[error("the image configuration cannot be read")]
pub struct InvalidConfig(#[source] serde_json::Error);
