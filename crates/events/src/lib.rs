//! Events sent: what the outbox holds goes to its webhooks, at least once, and a log says what came of it.
//!
//! The metastore writes events with what happens ([`metastore::Event`]). This room sends each to its
//! webhook, signed, and tries again for a day. It decides whom it may connect to ([`Reach`]), and what a
//! webhook may be ([`check`]).

mod address;
pub mod check;
mod dispatch;
mod mail;
mod message;
mod notice;
mod secret;
mod send;

pub use address::Reach;
pub use dispatch::{Clock, Dispatcher};
pub use mail::{MailSetupError, Mailer};
pub use message::payload;
pub use secret::random_secret;
pub use send::{SendLimits, Sender, SetupError};
