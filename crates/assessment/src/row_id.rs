//! Names of sub-assessments: GUIDs that say which image they are about.
//!
//! A row's first half comes from the image in its repository, its second from the finding (RFC 9562,
//! section 5.8, UUIDv8). So one row is found by looking for its image, without an index of every
//! finding there is.

use oci::Digest;
use uuid::Uuid;

/// The name of the one row of an image without findings.
#[must_use]
pub fn image_row_id(repository: &str, image: &Digest) -> Uuid {
    row_id(repository, image, b"")
}

/// True if `row` is the name of a row of this image in this repository. Others are so with a chance
/// of one in 2^60: whoever asks then compares whole names.
#[must_use]
pub fn is_row_of(row: Uuid, repository: &str, image: &Digest) -> bool {
    const IMAGE_BITS: u128 = 0xffff_ffff_ffff_0fff << 64;
    let wanted = image_row_id(repository, image);
    row.as_u128() & IMAGE_BITS == wanted.as_u128() & IMAGE_BITS
}

pub(crate) fn row_id(repository: &str, image: &Digest, finding: &[u8]) -> Uuid {
    let image = half(format!("{repository}\n{image}").as_bytes());
    let halves = u128::from(image) << 64 | u128::from(half(finding));
    // Version and variant take six of the bits.
    Uuid::new_v8(halves.to_be_bytes())
}

pub(crate) fn half(bytes: &[u8]) -> u64 {
    u64::from_str_radix(&Digest::sha256(bytes).hex()[..16], 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_name_tells_its_image() {
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let row = row_id("a/b", &one, b"CVE-1");
        assert!(is_row_of(row, "a/b", &one));
        assert!(!is_row_of(row, "a/b", &two));
        assert!(!is_row_of(row, "a/c", &one));
        assert_ne!(row, row_id("a/b", &one, b"CVE-2"));
        assert_ne!(row, image_row_id("a/b", &one));
        assert_eq!(
            row.to_string(),
            "972e75a5-d0dc-8210-a605-5a31a9c11927",
            "stored outside by others: never changes"
        );
    }
}
