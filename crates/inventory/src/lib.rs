//! What images hold: packages, distributions, and how layers add up to an image.
//!
//! A [`LayerInventory`] is what the jailed extractor says of one layer; [`coalesce`] merges those
//! of an image as a container runtime would see it, a [`LayerStack`] does so one by one. Values only: nothing here reads or waits.

mod coalesce;
mod image;
mod layer;
mod package;
mod place;
mod problem;
mod view;

pub use coalesce::{ImageLimits, LayerParts, LayerStack, coalesce};
pub use image::{ImageInventory, InstalledPackage};
pub use layer::{EXTRACTOR, FileContent, LayerFile, LayerInventory, Removal};
pub use package::{Distro, Ecosystem, Package, SourcePackage, UnjudgedSoftware};
pub use place::{Place, Release};
pub use problem::{Problem, ProblemKind};
