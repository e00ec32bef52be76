//! What a stranger's layer may cost us.

/// Every limit is named in the problem that reaching it makes. What was read until then is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a layer may unpack to. 64 GiB: model images are that large, and the jail's
    /// processor time ends earlier on most machines.
    pub unpacked_bytes_max: u64,
    /// Unpacked bytes for each stored byte, looked at once [`Limits::ratio_from_bytes`] were
    /// unpacked. Deflate reaches 1032 on zeros; what people ship stays far below 100.
    pub ratio_max: u64,
    /// Unpacked bytes below which the ratio does not matter.
    pub ratio_from_bytes: u64,
    /// Archive entries in a layer, extension headers included.
    pub entries_max: u64,
    /// Bytes of a path or link target. Linux takes 4096 (PATH_MAX).
    pub path_bytes_max: usize,
    /// Bytes of one extension header (PAX records, GNU long names). Go reads 1 MiB.
    pub extension_bytes_max: u64,
    /// Bytes of one package database; such a file is held in memory while it is read.
    pub database_bytes_max: u64,
    /// Bytes of a release file. Real ones have hundreds.
    pub release_bytes_max: u64,
    /// Bytes of one name, version or other text that goes into an inventory.
    pub text_bytes_max: usize,
    /// Packages in a layer.
    pub packages_max: usize,
    /// Paths in a layer's inventory: files and removals.
    pub paths_max: usize,
    /// Bytes of text in a layer's inventory.
    pub inventory_bytes_max: usize,
    /// Problems in a layer's inventory.
    pub problems_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes_max: 64 << 30,
            ratio_max: 100,
            ratio_from_bytes: 1 << 30,
            entries_max: 5_000_000,
            path_bytes_max: 4096,
            extension_bytes_max: 1 << 20,
            database_bytes_max: 64 << 20,
            release_bytes_max: 64 << 10,
            text_bytes_max: 1024,
            packages_max: 100_000,
            paths_max: 100_000,
            inventory_bytes_max: 8 << 20,
            problems_max: 100,
        }
    }
}
