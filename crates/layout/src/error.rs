//! Why a path holds nothing that we can read.

use std::io;
use std::path::PathBuf;

/// Why a path holds no image that we can read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is neither an OCI layout, an oci-archive or docker-archive tar, nor a folder of Docker's registry", path.display())]
    NotAnImage {
        /// Which path.
        path: PathBuf,
    },
    /// It should have a document and has none, or a broken one.
    #[error("{} has no valid {what}", path.display())]
    Document {
        /// Which path.
        path: PathBuf,
        /// Which document.
        what: String,
    },
    /// There is more in it than we take.
    #[error("{} holds more than {max} {what}", path.display())]
    TooMany {
        /// Which path.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}
