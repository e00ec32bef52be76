//! A layer's bytes, whatever they are: read within the limits, and what comes of it is taken again as the server takes
//! it from the jail.
#![no_main]

use extract::Limits;
use inventory::LayerInventory;
use oci::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { unpacked_bytes_max: 16 << 20, ..Limits::default() };
    let inventory = extract::extract(bytes, &limits);
    let document = serde_json::to_vec(&inventory).expect("an inventory is JSON");
    let again: LayerInventory = serde_json::from_slice(&document).expect("which reads back");
    assert_eq!(again, inventory);
    let image = inventory::coalesce(&[(Digest::sha256(bytes), again)]);
    assert!(inventory.problems.is_empty() || !image.problems.is_empty(), "a doubt is lost");
});
