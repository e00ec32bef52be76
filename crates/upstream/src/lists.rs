//! Lists: tags, and what refers to a manifest.

use oci::{Descriptor, Digest, Reference, Repository, Tag};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::client::{Asked, is_same_origin};
use crate::{Upstream, UpstreamError};

#[derive(Deserialize)]
struct Tags {
    /// Some registries write `null` for none.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Upstream {
    /// Every tag of a repository.
    ///
    /// # Errors
    /// [`UpstreamError`]; there may be [`TAGS_MAX`] at most.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, UpstreamError> {
        let mut url = Some(self.url(&format!("/v2/{repository}/tags/list?n={PAGE}"))?);
        let mut tags = Vec::new();
        let mut pages = 0;
        while let Some(page) = url {
            let asked = Asked { accept: None, is_document: true };
            let answer = self.ask_url(Method::GET, repository, page.clone(), asked).await?;
            let next = next(&page, answer.headers());
            let bytes = self.document(answer, PAGE_BYTES_MAX).await?;
            let listed: Tags = serde_json::from_slice(&bytes)
                .map_err(|_| self.wrong("a list of tags that cannot be read"))?;
            for tag in listed.tags.unwrap_or_default() {
                tags.push(tag.parse().map_err(|_| self.wrong("a tag that is not valid"))?);
            }
            pages += 1;
            if tags.len() > TAGS_MAX || pages > PAGES_MAX {
                return Err(self.wrong(format!("more than {TAGS_MAX} tags")));
            }
            if next.as_ref().is_some_and(|next| !is_same_origin(next, &page)) {
                return Err(self.wrong("a list that goes on at another host"));
            }
            url = next;
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// What refers to a manifest. A registry without that list has a tag for it (distribution-spec,
    /// "Referrers Tag Schema"), or nothing.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, UpstreamError> {
        let asked = Asked { accept: None, is_document: true };
        let mut page = self.url(&format!("/v2/{repository}/referrers/{subject}"))?;
        let mut found = Vec::new();
        for number in 0..PAGES_MAX {
            let answer = match self.ask_url(Method::GET, repository, page.clone(), asked).await {
                Ok(answer) => answer,
                Err(UpstreamError::NotFound { .. } | UpstreamError::Status { status: 400..=499, .. })
                    if number == 0 =>
                {
                    return self.referrers_by_tag(repository, subject).await;
                }
                Err(error) => return Err(error),
            };
            let next = next(&page, answer.headers());
            found.extend(self.index(&self.document(answer, PAGE_BYTES_MAX).await?)?);
            match next {
                Some(next) if is_same_origin(&next, &page) && found.len() <= REFERRERS_MAX => page = next,
                Some(_) => break,
                None => return Ok(found),
            }
        }
        Err(self.wrong("a list of referrers without an end, or one that goes on at another host"))
    }

    async fn referrers_by_tag(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, UpstreamError> {
        let hex: String = subject.hex().chars().take(64).collect();
        let tag = format!("{}-{hex}", subject.algorithm().name());
        let tag: Tag = tag.parse().map_err(|_| self.wrong("a digest without a tag"))?;
        match self.manifest(repository, &Reference::Tag(tag)).await {
            Ok(index) => self.index(&index.bytes),
            Err(UpstreamError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn index(&self, bytes: &[u8]) -> Result<Vec<Descriptor>, UpstreamError> {
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|_| self.wrong("a list of referrers that cannot be read"))?;
        Ok(index.manifests)
    }
}

/// Where the list goes on (RFC 8288).
fn next(page: &Url, headers: &HeaderMap) -> Option<Url> {
    let links = headers.get_all(LINK).iter().filter_map(|header| header.to_str().ok());
    let mut links = links.flat_map(|header| header.split(','));
    let next = links.find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let (_, after) = next.split_once('<')?;
    let (target, _) = after.split_once('>')?;
    page.join(target).ok()
}

const PAGE: usize = 1_000;
const PAGE_BYTES_MAX: usize = 4 << 20;
/// More than any repository that somebody copies whole.
const TAGS_MAX: usize = 100_000;
/// More than any image has signatures and SBOMs.
const REFERRERS_MAX: usize = 10_000;
/// A registry that gives few a page is slow; one that gives none for ever is hostile.
const PAGES_MAX: usize = 10_000;
