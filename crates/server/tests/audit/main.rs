//! The audit log says of each change what it was made to, and from what to what; secrets never.

mod commands;
mod directory;
mod house;
mod requests;
