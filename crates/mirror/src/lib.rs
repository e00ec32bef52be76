//! Images that others hold, brought into a registry of the house: copied whole by an [`Importer`], or
//! one by one when somebody pulls them, by the pull-through [`Cache`].
//!
//! What is brought goes the way of every push: blobs first, then manifests, children before their index;
//! a manifest, its tags and its scan are one transaction. So nothing is ever half there, and a stop in
//! the middle leaves blobs that the next try finds, or the collection takes.

mod cache;
mod copy;
mod error;
mod rule;
mod source;

pub use cache::{Arrival, Cache, CacheError, CacheSettings, Content, Filled, Served, Wanted};
pub use copy::{Copied, Importer};
pub use error::ImportError;
pub use rule::{InvalidMapping, Mapping, check_ordinary};
pub use source::Source;
