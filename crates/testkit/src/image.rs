//! Images made in memory.

use std::io::Write as _;

use oci::{Digest, MediaType};
use serde_json::json;

/// An image being put together, layer by layer.
#[derive(Clone, Debug, Default)]
pub struct Image {
    layers: Vec<Layer>,
    salt: String,
    architecture: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Layer {
    bytes: Vec<u8>,
    media_type: &'static str,
    /// The digest of what it unpacks to (image-spec, "DiffID").
    diff_id: Digest,
}

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// An image without layers.
#[must_use]
pub fn image() -> Image {
    Image::default()
}

impl Image {
    /// Adds a layer with these files, packed with gzip.
    #[must_use]
    pub fn layer(self, files: &[(&str, &str)]) -> Self {
        self.packed_layer(files, Packing::Gzip)
    }

    /// Adds a layer with these files. A path that ends in `/` is a directory.
    #[must_use]
    pub fn packed_layer(mut self, files: &[(&str, &str)], packing: Packing) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let (bytes, diff_id) = (pack(&archive, packing), Digest::sha256(&archive));
        self.layers.push(Layer { bytes, media_type: media_type(packing), diff_id });
        self
    }

    /// Adds a layer of exactly these bytes.
    #[must_use]
    pub fn raw_layer(mut self, bytes: Vec<u8>, media_type: &'static str) -> Self {
        let diff_id = Digest::sha256(&bytes);
        self.layers.push(Layer { bytes, media_type, diff_id });
        self
    }

    /// For this architecture instead of amd64.
    #[must_use]
    pub fn architecture(mut self, architecture: &'static str) -> Self {
        self.architecture = Some(architecture);
        self
    }

    /// Makes the image another one than its like.
    #[must_use]
    pub fn salted(mut self, salt: &str) -> Self {
        salt.clone_into(&mut self.salt);
        self
    }

    /// The layers' bytes, lowest first.
    pub fn layers(&self) -> impl Iterator<Item = &[u8]> {
        self.layers.iter().map(|layer| layer.bytes.as_slice())
    }

    /// The configuration's bytes.
    #[must_use]
    pub fn config(&self) -> Vec<u8> {
        let history: Vec<_> = (1..=self.layers.len())
            .map(|number| json!({ "created_by": format!("RUN step {number}") }))
            .collect();
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| &layer.diff_id).collect();
        let config = json!({
            "architecture": self.architecture.unwrap_or("amd64"),
            "os": "linux",
            "config": { "Labels": { "salt": self.salt } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        });
        config.to_string().into_bytes()
    }

    /// The manifest's bytes.
    #[must_use]
    pub fn manifest(&self) -> Vec<u8> {
        let descriptor = |bytes: &[u8], media_type: &str| json!({ "mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len() });
        let layers: Vec<_> =
            self.layers.iter().map(|layer| descriptor(&layer.bytes, layer.media_type)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor(&self.config(), MediaType::OCI_CONFIG),
            "layers": layers,
        });
        manifest.to_string().into_bytes()
    }

    /// The manifest's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest())
    }
}

/// The release file of a Debian image.
#[must_use]
pub fn debian(version: &str, codename: &str) -> (&'static str, String) {
    let text = format!(
        "ID=debian\nVERSION_ID=\"{version}\"\nVERSION_CODENAME={codename}\nPRETTY_NAME=\"Debian {version}\"\n"
    );
    ("etc/os-release", text)
}

/// The release file of an Alpine image.
#[must_use]
pub fn alpine(version: &str) -> (&'static str, String) {
    ("etc/os-release", format!("ID=alpine\nVERSION_ID={version}\nPRETTY_NAME=\"Alpine {version}\"\n"))
}

/// A dpkg database with these packages and versions, each its own source.
#[must_use]
pub fn dpkg(packages: &[(&str, &str)]) -> (&'static str, String) {
    let stanza = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    };
    ("var/lib/dpkg/status", packages.iter().map(stanza).collect())
}

/// An apk database with these packages and versions.
#[must_use]
pub fn apk(packages: &[(&str, &str)]) -> (&'static str, String) {
    let record = |(name, version): &(&str, &str)| format!("P:{name}\nV:{version}\nA:x86_64\no:{name}\n\n");
    ("lib/apk/db/installed", packages.iter().map(record).collect())
}

fn pack(archive: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => archive.to_vec(),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(archive).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(archive, 1).unwrap(),
    }
}

fn media_type(packing: Packing) -> &'static str {
    match packing {
        Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
        Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// Layers that do not compress away, another for each number.
#[must_use]
pub fn noisy(number: u64, layers: u64, len: usize) -> Image {
    (0..layers).fold(image(), |image, layer| {
        let noise: String = (0..len as u64 / 64)
            .map(|at| Digest::sha256(format!("{number} {layer} {at}").as_bytes()).hex().to_owned())
            .collect();
        image.layer(&[("noise", &noise)])
    })
}
