//! The nouns of the OCI distribution and image specifications.
//!
//! Each type is parsed once, at the door; holding one means that its grammar was
//! checked. Nothing here reads, writes, waits or knows the time.

mod config;
mod descriptor;
mod digest;
mod manifest;
mod media_type;
mod name;
mod null;
mod pattern;

pub use config::{History, ImageConfig, InvalidConfig, Platform};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use manifest::{Content, InvalidManifest, Manifest};
pub use media_type::{LayerFormat, MediaType};
pub use name::{InvalidReference, InvalidRepository, InvalidTag, Reference, Repository, Tag};
pub use pattern::matches;
