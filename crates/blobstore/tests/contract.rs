//! What the blob store promises.

use blobstore::{BlobStore, Durability};
use bytes::Bytes;
use oci::{Algorithm, Digest};
use uuid::Uuid;

fn store() -> (tempfile::TempDir, BlobStore) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = BlobStore::open(folder.path(), Durability::Unflushed).expect("opens");
    (folder, store)
}

#[tokio::test]
async fn what_is_put_is_found_in_every_size() {
    for durability in [Durability::Flushed, Durability::Unflushed] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = BlobStore::open(folder.path(), durability).expect("opens");
        for len in [0, 1, 65_536, 65_537, 1_000_000] {
            let bytes: Vec<u8> = (0..len).map(|index: u32| index.to_le_bytes()[0]).collect();
            let digest = store.put(bytes.clone().into()).await.expect("stores");
            let blob = store.open_blob(&digest).await.expect("reads").expect("there");
            assert_eq!(blob.len(), u64::from(len));
            assert!(
                blob.pieces(0..u64::MAX).flat_map(|piece| piece.expect("reads")).eq(bytes.iter().copied())
            );
            let unseen =
                blob.unseen_pieces(0..u64::MAX).expect("maps").flat_map(|piece| piece.expect("reads"));
            assert!(unseen.eq(bytes.iter().copied()));
            assert_eq!(blob.whole().expect("reads"), bytes);
            let (from, to) = (u64::from(len) / 3, u64::from(len) / 2);
            let part = &bytes[usize::try_from(from).expect("small")..usize::try_from(to).expect("small")];
            assert!(blob.pieces(from..to).flat_map(|piece| piece.expect("reads")).eq(part.iter().copied()));
            assert_eq!(store.read(&digest).await.expect("reads").expect("there").as_ref(), bytes);
        }
        assert_eq!(store.list().await.expect("lists").blobs.len(), 5);
        assert!(store.list().await.expect("lists").uploads.is_empty());
    }
}

#[tokio::test]
async fn what_is_absent_is_none_and_may_be_removed() {
    let (_folder, store) = store();
    let digest = Digest::sha256(b"absent");
    assert!(store.open_blob(&digest).await.expect("asks").is_none());
    assert!(store.read(&digest).await.expect("asks").is_none());
    store.remove(&digest).await.expect("nothing to do");
    store.discard(Uuid::from_u128(1)).await.expect("nothing to do");
}

#[tokio::test]
async fn an_upload_goes_on_from_what_is_certain() {
    let (_folder, store) = store();
    let id = Uuid::from_u128(1);
    assert!(store.upload(id, 5).await.expect("asks").is_none(), "there is no file");
    let mut upload = store.upload(id, 0).await.expect("opens").expect("made");
    upload.append(b"hello, torn").expect("writes");
    drop(upload);
    assert!(store.upload(id, 12).await.expect("asks").is_none(), "the file is shorter");
    let mut upload = store.upload(id, 5).await.expect("opens").expect("there");
    upload.append(b" world").expect("writes");
    let mut buffer = [0; 64];
    assert_eq!(upload.read_at(&mut buffer, 6).expect("reads"), 5);
    assert_eq!(&buffer[..5], b"world");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"hello world");
        let mut again = store.upload(id, 0).await.expect("opens").expect("made");
        again.append(b"hello world").expect("writes");
        store.commit(&mut again, &digest).await.expect("commits");
        assert_eq!(
            store.open_blob(&digest).await.expect("reads").expect("there").whole().expect("reads"),
            "hello world"
        );
    }
    assert!(store.list().await.expect("lists").uploads.is_empty());
}

#[tokio::test]
async fn two_uploads_of_one_blob_both_succeed_and_readers_keep_theirs() {
    let (_folder, store) = store();
    let bytes = vec![3; 200_000];
    let digest = Digest::sha256(&bytes);
    let mut uploads = Vec::new();
    for id in [1, 2] {
        let mut upload = store.upload(Uuid::from_u128(id), 0).await.expect("opens").expect("made");
        upload.append(&bytes).expect("writes");
        uploads.push(upload);
    }
    store.commit(&mut uploads[0], &digest).await.expect("commits");
    let open = store.open_blob(&digest).await.expect("reads").expect("there");
    store.commit(&mut uploads[1], &digest).await.expect("commits");
    store.remove(&digest).await.expect("removes");
    assert_eq!(open.whole().expect("reads"), Bytes::from(bytes));
    assert!(store.open_blob(&digest).await.expect("asks").is_none());
}

#[tokio::test]
async fn strays_are_named_and_nothing_else_is() {
    let (folder, store) = store();
    let digest = store.put(Bytes::from_static(b"kept")).await.expect("stores");
    let mut upload = store.upload(Uuid::from_u128(7), 0).await.expect("opens").expect("new");
    assert!(store.list().await.expect("lists").uploads.is_empty(), "no byte, no file");
    upload.append(b"x").expect("writes");
    for stray in ["uploads/not-a-uuid", "blobs/sha256/zz", "blobs/sha512/0000"] {
        std::fs::write(folder.path().join(stray), "x").expect("writes");
    }
    let listing = store.list().await.expect("lists");
    assert_eq!((listing.blobs, listing.uploads), (vec![digest], vec![Uuid::from_u128(7)]));
    assert_eq!(listing.strays.len(), 3);
    for stray in listing.strays {
        store.remove_stray(stray).await.expect("removes");
    }
    assert!(store.list().await.expect("lists").strays.is_empty());
}

#[tokio::test]
async fn what_a_failed_write_left_behind_is_no_part_of_the_blob() {
    let (_folder, store) = store();
    let mut upload = store.upload(Uuid::from_u128(1), 0).await.expect("opens").expect("new");
    upload.append(b"whole").expect("appends");
    // As much of the next piece as found room.
    let path = upload.path().to_owned();
    std::fs::write(path, b"whole and a bit").expect("writes");
    let digest = Digest::sha256(b"whole");
    store.commit(&mut upload, &digest).await.expect("commits");
    assert_eq!(
        store.open_blob(&digest).await.expect("reads").expect("there").whole().expect("reads"),
        b"whole"[..]
    );
}

#[tokio::test]
async fn a_blob_that_is_cut_short_while_it_is_read_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = BlobStore::open(folder.path(), Durability::Unflushed).expect("opens");
    let digest = store.put(vec![7; 3 << 20].into()).await.expect("stores");
    let blob = store.open_blob(&digest).await.expect("reads").expect("there");
    let mut pieces = blob.pieces(0..blob.len());
    assert!(pieces.next().expect("there is one").is_ok());
    let path = folder.path().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
    std::fs::File::options().write(true).open(path).expect("opens").set_len(1 << 20).expect("cuts");
    let rest: Vec<_> = pieces.map(|piece| piece.is_ok()).collect();
    assert_eq!(rest, [true, true, true, false], "whole pieces, then one error and no more");
    assert!(blob.whole().is_err());
}
