//! VEX documents that are attached to images: carried out as rules, with the authority of whoever attached them.

use assessment::{InvalidVex, Subject, Vex};
use metastore::{REASON_BYTES_MAX, RegistryId, RulesDocument};
use oci::{Content, Descriptor, Digest, Manifest, Repository, Tag};

use crate::{Registry, StoreError, StoredPush};

/// What became of a manifest's VEX documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// There is none.
    Nothing,
    /// They hold, and disable so many findings now.
    Rules {
        /// How many.
        disabled: u64,
    },
    /// They are kept, but count for nothing: whoever attached them may not make rules.
    NotAllowed,
    /// The same: one goes beyond its bounds.
    Invalid(InvalidVex),
    /// The same: there are as many rules as there may be.
    TooMany,
}

impl Registry {
    /// Makes rules of the VEX documents that a pushed manifest brings, if whoever pushed it `may_rule`: may make rules for the
    /// registry. They are in force when this returns.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn attach(
        &self,
        registry: RegistryId,
        repository: &Repository,
        pushed: &StoredPush,
        may_rule: bool,
        principal: &str,
    ) -> Result<Attached, StoreError> {
        let Some((subject, documents)) = &pushed.documents else { return Ok(Attached::Nothing) };
        let mut rules = None;
        for digest in documents {
            let Some(blob) = self.blob(registry, repository, digest).await? else { continue };
            // What cannot be read is as if it were not there.
            let Ok(bytes) = blob.whole() else { continue };
            let (of, repository) = (subject.clone(), repository.clone());
            // Parsing takes its time, and other requests wait for the thread.
            let read = tokio::task::spawn_blocking(move || {
                let of = Subject { repository: &repository, digest: &of };
                Vex::read(&bytes, of).map(|vex| vex.map(|vex| vex.rules(of, REASON_BYTES_MAX)))
            });
            match read.await.map_err(|_| metastore::Error::Closed)? {
                Ok(None) => {}
                Ok(Some(found)) => rules.get_or_insert_with(Vec::new).extend(found),
                Err(error) => return Ok(Attached::Invalid(error)),
            }
        }
        let Some(rules) = rules else { return Ok(Attached::Nothing) };
        if !may_rule {
            return Ok(Attached::NotAllowed);
        }
        let document = RulesDocument {
            registry,
            repository: repository.clone(),
            digest: pushed.digest.clone(),
            subject: subject.clone(),
            by: principal.to_owned(),
        };
        let checked =
            rules.into_iter().filter_map(|(criteria, reason)| Some((criteria.checked().ok()?, reason)));
        let put = self.metastore.put_document_rules(document, checked.collect(), (self.clock)()).await?;
        Ok(put.map_or(Attached::TooMany, |disabled| Attached::Rules { disabled }))
    }
}

/// The blobs of a manifest that may be documents about something else, and about what.
pub(crate) fn documents(manifest: &Manifest, tags: &[Tag]) -> Option<(Digest, Vec<Digest>)> {
    let Content::Image { layers, .. } = manifest.content() else { return None };
    let attested = tags.iter().find_map(attested);
    let subject = match manifest.subject() {
        Some(subject) if !manifest.is_container_image() => subject.digest.clone(),
        // Cosign gives its attestations the configuration of an image.
        _ => attested?,
    };
    let may_be = |layer: &&Descriptor| {
        let media_type = layer.media_type.as_str().to_ascii_lowercase();
        let is_named = ["json", "vex", "csaf", "cyclonedx"].iter().any(|word| media_type.contains(word));
        is_named && layer.size <= DOCUMENT_BYTES_MAX
    };
    let found: Vec<Digest> =
        layers.iter().filter(may_be).take(DOCUMENTS_MAX).map(|layer| layer.digest.clone()).collect();
    (!found.is_empty()).then_some((subject, found))
}

/// What cosign's tag for attestations is about: `sha256-HEX.att`.
fn attested(tag: &Tag) -> Option<Digest> {
    let (algorithm, hex) = tag.as_str().strip_suffix(".att")?.split_once('-')?;
    format!("{algorithm}:{hex}").parse().ok()
}

const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Who attaches more attaches several manifests.
const DOCUMENTS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use oci::MediaType;

    use super::*;

    fn manifest(config: &str, layer: (&str, u64), subject: Option<&Digest>) -> Manifest {
        let digest = Digest::sha256(b"document");
        let subject = subject.map_or(String::new(), |subject| {
            format!(
                r#","subject":{{"mediaType":"{}","digest":"{subject}","size":1}}"#,
                MediaType::OCI_MANIFEST
            )
        });
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":2}},
                 "layers":[{{"mediaType":"{}","digest":"{digest}","size":{}}}]{subject}}}"#,
            layer.0, layer.1
        );
        Manifest::parse(&MediaType::new(MediaType::OCI_MANIFEST), text.into_bytes()).expect("is one")
    }

    #[test]
    fn documents_are_about_a_subject_or_what_a_tag_of_cosign_says() {
        let (image, other) = (Digest::sha256(b"image"), Digest::sha256(b"other"));
        let tag = |text: String| vec![text.parse::<Tag>().expect("a tag")];
        let att = tag(format!("sha256-{}.att", other.hex()));
        let (empty, config) =
            ("application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json");
        let vex = ("application/vnd.openvex+json", 100);
        let about = |manifest: &Manifest, tags: &[Tag]| documents(manifest, tags).map(|(about, _)| about);
        assert_eq!(about(&manifest(empty, vex, Some(&image)), &[]), Some(image.clone()));
        assert_eq!(about(&manifest(empty, vex, Some(&image)), &att), Some(image.clone()));
        assert_eq!(
            about(&manifest(config, ("application/vnd.dsse.envelope.v1+json", 9), None), &att),
            Some(other)
        );
        assert_eq!(about(&manifest(empty, vex, None), &[]), None);
        assert_eq!(about(&manifest(config, vex, Some(&image)), &[]), None, "an image is no document");
        assert_eq!(about(&manifest(empty, (vex.0, DOCUMENT_BYTES_MAX + 1), Some(&image)), &[]), None);
        assert_eq!(about(&manifest(empty, ("application/octet-stream", 9), Some(&image)), &[]), None);
        for tags in [tag("sha256-12.att".to_owned()), tag(format!("sha256-{}.sig", image.hex()))] {
            assert_eq!(about(&manifest(config, vex, None), &tags), None);
        }
    }
}
