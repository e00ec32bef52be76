//! Images that lie in a folder or an archive: OCI layouts, `oci-archive` and `docker save` tars, and the
//! folder in which Docker's registry (distribution) keeps its images.
//!
//! Whoever made them is a stranger. No name leads out of the folder, no symbolic link is followed,
//! what is read into memory is bounded, and what has a digest is checked against it.

mod collection;
mod distribution;
mod docker;
mod error;
mod files;
mod name;

pub use collection::{Collection, Root};
pub use docker::DockerImage;
pub use error::LayoutError;
pub use files::{Files, Pieces, Slice};
