//! What the station says of an image: findings, its one state, and what to do.

mod finding;
mod state;

pub use finding::{Finding, FindingPackage, FixState};
pub use state::{Cause, ImageState, Verdict};
