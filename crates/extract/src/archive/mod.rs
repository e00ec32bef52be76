//! What a layer is: compression around a tar archive of named entries.

pub(crate) mod compression;
pub(crate) mod path;
mod pax;
mod stop;
mod tar;

pub(crate) use stop::Stop;
pub(crate) use tar::{Archive, Entry, Kind};
