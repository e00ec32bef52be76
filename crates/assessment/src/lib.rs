//! What the station says of an image: findings, its one state, and what to do.

mod finding;
mod row_id;
mod state;

pub use finding::{Finding, FindingPackage, FixState};
pub use row_id::{image_row_id, is_row_of};
pub use state::{Cause, ImageState, Verdict};
