//! Who passes the gate, and what everybody is told of what they pull.
//!
//! Manifests are the gate: without its manifest nobody knows an image's blobs, which it shares with others.

use assessment::Ruling;
use auth::{Access, Action, repository_scope};
use axum::http::StatusCode;
use axum::http::header::HeaderValue;
use oci::{Reference, Repository};
use registry::Pulled;

use crate::Api;
use crate::access::Identity;
use crate::error::ApiError;

impl Api {
    /// Lets a pull through with a warning, if there is something to warn of; or says why it may not be.
    ///
    /// # Errors
    /// 404 for a tag and 403 for a digest that is in quarantine, 403 for what a gate blocks.
    pub(crate) async fn pass_gate(
        &self,
        identity: &Identity,
        repository: &Repository,
        reference: &Reference,
        pulled: &Pulled,
    ) -> Result<Option<HeaderValue>, ApiError> {
        let blocked = match &pulled.ruling {
            _ if pulled.is_quarantined => {
                "it is in quarantine: a scanner with the role AcrQuarantineWriter has not let it pass"
            }
            Ruling::Block(sentence) => sentence,
            Ruling::Pass(None) => return Ok(None),
            Ruling::Pass(Some(sentence)) => return Ok(warning(&format!("{repository}: {sentence}"))),
        };
        if self.is_let_through(identity, repository, pulled).await? {
            return Ok(warning(&format!("{repository}: refused to others, because {blocked}")));
        }
        tracing::info!(%repository, %reference, principal = identity.principal(), blocked, "a pull was refused");
        let blocked = blocked.trim_end_matches('.');
        Err(match reference {
            _ if !pulled.is_quarantined => {
                let message = format!(
                    "{repository} at {reference} may not be pulled: {blocked}. Push an image that passes, or ask an \
                     operator for an exemption (`lazaret gate exempt`)"
                );
                ApiError::new(StatusCode::FORBIDDEN, "DENIED", message)
            }
            // As Azure answers: by name it is not there yet.
            Reference::Tag(tag) => {
                ApiError::not_found("MANIFEST_UNKNOWN", format!("manifest tagged by {tag:?} is not found"))
            }
            Reference::Digest(_) => {
                let message = format!(
                    "the operation is disallowed on {repository}@{}: {blocked}",
                    pulled.manifest.digest
                );
                ApiError::new(StatusCode::FORBIDDEN, "DENIED", message)
            }
        })
    }

    /// Pushes must go through: clients look at what is there before and after. So whoever shows a token for
    /// pushing passes, and for a while who pushed the image; and who holds the right to look behind gates.
    async fn is_let_through(
        &self,
        identity: &Identity,
        repository: &Repository,
        pulled: &Pulled,
    ) -> Result<bool, ApiError> {
        if self.shows_right(identity, repository, Access::Push).await? {
            return Ok(true);
        }
        // With a token that pulls alone; who may push no more is like others.
        if self.registry.has_just_pushed(&identity.principal(), pulled)
            && let Some(caller) = self.caller_behind(identity).await?
            && self.may(&caller, repository.as_str(), Access::Push)
        {
            return Ok(true);
        }
        self.may_in_quarantine(identity, repository, Action::ReadQuarantined).await
    }

    /// True if the principal behind the request may look at, or judge, what is in quarantine.
    pub(crate) async fn may_in_quarantine(
        &self,
        identity: &Identity,
        repository: &Repository,
        action: Action,
    ) -> Result<bool, ApiError> {
        let scope = repository_scope(&self.resource, repository.as_str());
        Ok(self.caller_behind(identity).await?.is_some_and(|caller| caller.may(action, &scope)))
    }
}

/// A `Warning` header (RFC 7234, 5.5) as the distribution specification wants it; bounded, plain ASCII.
pub(crate) fn warning(text: &str) -> Option<HeaderValue> {
    let mut quoted = String::from("299 - \"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('?'),
        }
        if quoted.len() >= WARNING_BYTES_MAX {
            quoted.push_str("...");
            break;
        }
    }
    quoted.push('"');
    HeaderValue::from_str(&quoted).ok()
}

/// Clients print it at every pull. The specification allows 4096 for all.
const WARNING_BYTES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_quoted_and_bounded() {
        let shown = |text: &str| warning(text).expect("a header").to_str().expect("ASCII").to_owned();
        assert_eq!(shown("a \"b\" \\c\u{e9}\n"), r#"299 - "a \"b\" \\c??""#);
        let long = shown(&"x".repeat(100_000));
        assert!(long.len() < 600 && long.ends_with("...\""), "{long}");
    }
}
