//! From layers to verdicts: drives the journey as jobs, and owns no parsing and no SQL.
//!
//! - [`LayerReader`] turns a layer's bytes into its inventory, in the jail, once per layer:
//!   while it uploads if it can, from the store if it must.
//! - [`Scanner`] does the queue's jobs: a scan reads what is unread and judges; a rematch judges
//!   again, from stored inventories, the images that a new advisory snapshot speaks of.
//! - [`Advisories`] is the snapshot that is current.

mod advisories;
mod judge;
mod local;
mod read;
mod scan;
mod stack;
mod watch;

pub use advisories::{Advisories, AdvisoriesError, CurrentSnapshot};
pub use local::{LocalImage, ScannedImage, local_images, scan_local};
pub use read::{LayerReader, ReaderLimits};
pub use scan::{ENGINE, ScanError, Scanner};
pub use watch::UploadReader;
