//! Images as others keep them: OCI layouts, `docker save` archives, the folder of Docker's registry.

use std::path::Path;

use oci::{Digest, MediaType};
use serde_json::json;

use crate::Image;

impl Image {
    /// Adds the image to the OCI layout in `folder`, made if it is not there, under the name
    /// (`org.opencontainers.image.ref.name`).
    pub fn save_layout(&self, folder: &Path, name: &str) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        for bytes in self.contents() {
            std::fs::write(blobs.join(Digest::sha256(&bytes).hex()), bytes).unwrap();
        }
        let index = folder.join("index.json");
        let listed =
            std::fs::read(&index).unwrap_or_else(|_| br#"{"schemaVersion":2,"manifests":[]}"#.to_vec());
        let mut listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
        listed["manifests"].as_array_mut().unwrap().push(json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": self.digest(), "size": self.manifest().len(),
            "annotations": { "org.opencontainers.image.ref.name": name },
        }));
        std::fs::write(index, listed.to_string()).unwrap();
    }

    /// Writes the image as `docker save` does, under the name.
    pub fn save_docker_archive(&self, file: &Path, name: &str) {
        let mut archive = tar::Builder::new(std::fs::File::create(file).unwrap());
        let mut add = |path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, path, bytes).unwrap();
        };
        let config = format!("{}.json", Digest::sha256(&self.config()).hex());
        let mut layers = Vec::new();
        for (number, layer) in self.layers().enumerate() {
            let path = format!("{number}/layer.tar");
            add(&path, layer);
            layers.push(path);
        }
        add(&config, &self.config());
        let list = json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]);
        add("manifest.json", list.to_string().as_bytes());
        archive.finish().unwrap();
    }

    /// Adds the image to a folder as Docker's registry keeps it.
    pub fn save_distribution(&self, folder: &Path, repository: &str, tag: &str) {
        let root = folder.join("docker/registry/v2");
        for bytes in self.contents() {
            let digest = Digest::sha256(&bytes);
            let blob = root.join(format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex()));
            std::fs::create_dir_all(&blob).unwrap();
            std::fs::write(blob.join("data"), bytes).unwrap();
        }
        let manifests = root.join("repositories").join(repository).join("_manifests");
        let (digest, hex) = (self.digest().to_string(), self.digest().hex().to_owned());
        for link in [format!("revisions/sha256/{hex}"), format!("tags/{tag}/current")] {
            std::fs::create_dir_all(manifests.join(&link)).unwrap();
            std::fs::write(manifests.join(&link).join("link"), &digest).unwrap();
        }
    }

    /// Layers, configuration, manifest.
    fn contents(&self) -> Vec<Vec<u8>> {
        self.layers().map(<[u8]>::to_vec).chain([self.config(), self.manifest()]).collect()
    }
}
