//! A client of registries elsewhere: pulls what an import or the pull-through cache asks for.
//!
//! The registry at the other end is a stranger. What it sends is bounded and, where it has a digest,
//! checked; where it sends us is looked at before we go; and credentials are shown to nobody but the
//! host that they are for and the token services it is known to have.

mod address;
mod blob;
mod challenge;
mod client;
mod error;
mod guard;
mod host;
mod lists;
mod manifest;
mod token;

pub use address::AddressKind;
pub use blob::BlobBody;
pub use client::{Credentials, Limits, Upstream};
pub use error::{LastCause, UpstreamError};
pub use guard::Reach;
pub use host::{Host, InvalidHost};
pub use manifest::{RemoteHead, RemoteManifest};
