//! Folders and archives as tools write them, and as nobody should.

use std::os::unix::fs::symlink;
use std::path::Path;

use layout::{Collection, Files, LayoutError};
use oci::Digest;
use testkit::{Image, Packing, image};

fn made(packing: Packing) -> Image {
    image().packed_layer(&[("etc/hello", "hello")], packing).packed_layer(&[("bye", "bye")], packing)
}

fn read(collection: &Collection, digest: &Digest) -> Vec<u8> {
    let mut pieces = collection.blob(digest).expect("there").pieces().expect("opens");
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next_piece().expect("reads") {
        bytes.extend(piece);
    }
    bytes
}

/// What a collection lists, as `REPOSITORY TAG`.
fn names(collection: &Collection) -> Vec<String> {
    let name = |root: &layout::Root| {
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        format!(
            "{} {}",
            shown(root.repository.as_ref().map(ToString::to_string)),
            shown(root.tag.as_ref().map(ToString::to_string))
        )
    };
    collection.roots.iter().map(name).collect()
}

fn tar_of(folder: &Path, file: &Path) {
    let mut archive = tar::Builder::new(std::fs::File::create(file).expect("makes"));
    archive.append_dir_all(".", folder).expect("adds");
    archive.finish().expect("ends");
}

#[test]
fn a_layout_as_a_folder_and_as_an_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let (layout, archive) = (folder.path().join("layout"), folder.path().join("layout.tar"));
    let image = made(Packing::Gzip);
    image.save_layout(&layout, "1");
    image.clone().salted("x").save_layout(&layout, "reg.example/team/app:2");
    tar_of(&layout, &archive);
    for path in [layout, archive] {
        let found = Collection::open(&path).expect("a layout");
        assert_eq!(names(&found), ["- 1", "team/app 2"]);
        assert_eq!(found.manifest(&image.digest()).expect("reads").expect("there"), image.manifest());
        for layer in image.layers() {
            assert_eq!(read(&found, &Digest::sha256(layer)), layer);
        }
        assert!(found.blob(&Digest::sha256(b"another")).is_none());
    }
}

#[test]
fn a_docker_archive_gets_the_manifest_that_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("saved.tar");
    for packing in [Packing::Plain, Packing::Gzip] {
        let image = made(packing);
        image.save_docker_archive(&file, "localhost:5000/team/app:1");
        let found = Collection::open(&file).expect("an archive");
        assert_eq!(names(&found), ["team/app 1"]);
        // With the same media types as ours, it is the same image.
        assert_eq!(found.roots[0].digest, image.digest());
        assert_eq!(found.manifest(&image.digest()).expect("reads"), Some(image.manifest()));
        assert_eq!(read(&found, &Digest::sha256(&image.config())), image.config());
    }
}

#[test]
fn a_docker_archive_with_another_layer_than_it_says_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let unpacked = folder.path().join("unpacked");
    std::fs::create_dir(&unpacked).expect("makes");
    let image = made(Packing::Plain);
    let write = |name: &str, bytes: &[u8]| std::fs::write(unpacked.join(name), bytes).expect("writes");
    write("config.json", &image.config());
    write("a.tar", image.layers().next().expect("a layer"));
    for (layers, wanted) in [
        (r#"["a.tar","a.tar"]"#, "a.tar"),
        (r#"["a.tar"]"#, "config.json"),
        (r#"["a.tar","missing.tar"]"#, "missing.tar"),
        (r#"["a.tar","../a.tar"]"#, "../a.tar"),
    ] {
        write("manifest.json", format!(r#"[{{"Config":"config.json","Layers":{layers}}}]"#).as_bytes());
        let error = Collection::open(&unpacked).expect_err("refused").to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn the_folder_of_dockers_registry() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (made(Packing::Gzip), made(Packing::Gzip).salted("x"));
    one.save_distribution(folder.path(), "team/app", "1");
    one.save_distribution(folder.path(), "team/app", "latest");
    other.save_distribution(folder.path(), "team", "untagged");
    let root = folder.path().join("docker/registry/v2");
    std::fs::remove_dir_all(root.join("repositories/team/_manifests/tags")).expect("removes");
    // What is half deleted, or was never ours.
    std::fs::create_dir_all(root.join("repositories/team/app/_manifests/tags/gone/index")).expect("makes");
    std::fs::create_dir_all(root.join("repositories/Bad Name/_manifests/tags/1/current")).expect("makes");
    symlink(root.join("repositories/team"), root.join("repositories/round")).expect("links");
    for path in [folder.path(), &root] {
        let found = Collection::open(path).expect("a folder of Docker's registry");
        assert_eq!(names(&found), ["team -", "team/app 1", "team/app latest"]);
        assert_eq!(found.manifest(&one.digest()).expect("reads"), Some(one.manifest()));
        assert_eq!(read(&found, &Digest::sha256(&one.config())), one.config());
    }
    let hex = one.digest().hex().to_owned();
    std::fs::write(root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])), "bit rot").expect("writes");
    let found = Collection::open(folder.path()).expect("a folder of Docker's registry");
    assert!(matches!(found.manifest(&one.digest()), Err(LayoutError::Document { .. })));
    std::fs::write(root.join("repositories/team/app/_manifests/tags/1/current/link"), "nonsense")
        .expect("writes");
    assert!(matches!(Collection::open(folder.path()), Err(LayoutError::Document { .. })));
}

#[test]
fn no_name_leads_out_and_no_link_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
    std::fs::create_dir_all(inside.join("real")).expect("makes");
    std::fs::create_dir(&outside).expect("makes");
    std::fs::write(outside.join("secret"), "secret").expect("writes");
    std::fs::write(inside.join("real/file"), "file").expect("writes");
    symlink(outside.join("secret"), inside.join("link")).expect("links");
    symlink(&outside, inside.join("folder")).expect("links");
    symlink("real/file", inside.join("own")).expect("links");
    let made = std::process::Command::new("mkfifo").arg(inside.join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let files = Files::open(&inside).expect("a folder");
    assert!(files.find("real/file").is_some());
    for name in [
        "link",
        "own",
        "folder/secret",
        "../outside/secret",
        "real/../real/file",
        "/etc/passwd",
        "real",
        "pipe",
        "",
        ".",
    ] {
        assert!(files.find(name).is_none(), "{name}");
    }
    // A file that becomes a link after it was found is not followed either.
    let found = files.find("real/file").expect("there");
    std::fs::remove_file(inside.join("real/file")).expect("removes");
    symlink(outside.join("secret"), inside.join("real/file")).expect("links");
    assert!(found.pieces().is_err());
}

#[test]
fn a_tar_cannot_make_us_read_without_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("long.tar");
    // A name of a terabyte, all of it a hole.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    std::fs::write(&file, header.as_bytes()).expect("writes");
    std::fs::File::options().write(true).open(&file).expect("opens").set_len(1 << 40).expect("grows");
    assert!(matches!(Collection::open(&file), Err(LayoutError::NotAnImage { .. })));
    std::fs::write(&file, "no tar").expect("writes");
    assert!(matches!(Collection::open(&file), Err(LayoutError::NotAnImage { .. })));
    assert!(matches!(Collection::open(folder.path()), Err(LayoutError::NotAnImage { .. })));
    assert!(matches!(Collection::open(&folder.path().join("missing")), Err(LayoutError::File { .. })));
}
