//! What a jailed extractor may say: any JSON. Two layers of it are laid over one another.
#![no_main]

use inventory::LayerInventory;
use oci::Digest;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8])| {
    let layers: Vec<_> = [input.0, input.1]
        .into_iter()
        .filter_map(|bytes| {
            Some((Digest::sha256(bytes), serde_json::from_slice::<LayerInventory>(bytes).ok()?))
        })
        .collect();
    let image = inventory::coalesce(&layers);
    // One for each source package, and one for the namespace.
    assert!(matching::keys(&image).len() <= image.packages.len() + 1);
});
