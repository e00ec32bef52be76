//! Bytes by digest, in files.
//!
//! ```text
//! ROOT/blobs/sha256/ab/abcd…    whole, verified, flushed; never changed, only removed
//! ROOT/uploads/UUID             growing, or left by a crash
//! ```
//!
//! A file appears under its digest by being renamed there after it was flushed, and the rename is flushed
//! too: what [`BlobStore::commit`] has answered survives the loss of power. Whoever has a blob open keeps
//! it when it is removed.

mod blob;
mod store;
mod upload;

pub use blob::{Blob, PIECE_BYTES};
pub use bytes::Bytes;
pub use store::{BlobStore, Durability, Error, KeepFree, Listing};
pub use upload::{UploadFile, UploadReader};
