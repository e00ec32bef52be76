//! Layers added up to an image.

use oci::Digest;

use crate::{ImageInventory, LayerInventory};

/// What a container started from these layers, lowest first, would find.
#[must_use]
pub fn coalesce(_layers: &[(Digest, LayerInventory)]) -> ImageInventory {
    ImageInventory::default()
}
