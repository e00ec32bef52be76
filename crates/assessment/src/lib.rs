//! What the station says of an image: findings, its one state, what to do,
//! whether it passes a policy, and what it costs.

mod finding;
mod gate;
mod policy;
mod rate_card;
mod row_id;
mod rule;
mod state;
mod vex;

pub use finding::{Finding, FindingPackage, FixState};
pub use gate::{Asked, Gate, GateExemption, Gates};
pub use policy::{Handling, Judged, Policy, Ruling};
pub use rate_card::{Amount, Currency, InvalidAmount, InvalidCurrency, RateCard};
pub use row_id::{image_row_id, is_row_of};
pub use rule::{Criteria, Exemption, InvalidCriteria, RuledFinding, RuledImage};
pub use state::{Cause, END_OF_LIFE, ImageState, Verdict};
pub use vex::{InvalidVex, Subject, Vex};
