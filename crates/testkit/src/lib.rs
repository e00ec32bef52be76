//! What tests of the whole house are made of: images, and real servers to push them to.
//!
//! Everything here panics when it fails: it is for tests and benchmarks alone.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod azure;
mod chance;
mod client;
mod disk;
mod image;
mod process;
mod rows;
mod saved;
mod shared;
mod source;

pub use chance::{cases, runner, seed};
pub use client::Client;
pub use disk::Disk;
pub use image::{Image, Packing, alpine, apk, debian, dpkg, image, noisy};
pub use process::{Server, ServerOptions};
pub use rows::{age_links, change_rows};
pub use shared::{clients, left_out, python, shared, tool};
pub use source::{Reply, Source};
