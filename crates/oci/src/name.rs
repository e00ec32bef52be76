//! Repository names, tags and references (distribution-spec, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, InvalidDigest};

/// A named home of manifests and tags, `app/web`.
///
/// Lower case, components joined by `/`, each of alphanumerics with single separators
/// `.`, `_`, `__` or dashes between them; 255 bytes at most, since many clients bound it so.
///
/// ```
/// assert!("app/web.front__end".parse::<oci::Repository>().is_ok());
/// assert!("App/web".parse::<oci::Repository>().is_err());
/// assert!("app//web".parse::<oci::Repository>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);

impl Repository {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        if text.len() > REPOSITORY_LEN_MAX {
            return Err(InvalidRepository::TooLong { len: text.len() });
        }
        if !text.split('/').all(is_component) {
            return Err(InvalidRepository::Grammar);
        }
        Ok(Self(text.to_owned()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| is_alphanumeric(**byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = match rest {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|byte| **byte == b'-').count(),
            _ => return false,
        };
        rest = &rest[separator..];
    }
}

/// Why a text is no repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepository {
    /// Over our limit.
    #[error("the repository name has {len} bytes, over the limit of {REPOSITORY_LEN_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Against the specification's grammar.
    #[error(
        "a repository name is lower-case letters and digits, joined by single '.', '_', '__' or dashes, in components joined by '/'"
    )]
    Grammar,
}

/// A manifest's name for people within one repository: `v1` in `app/web:v1`.
///
/// ```
/// assert!("v1.2-rc_3".parse::<oci::Tag>().is_ok());
/// assert!(".hidden".parse::<oci::Tag>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
        match text.as_bytes() {
            [] | [b'.' | b'-', ..] => Err(InvalidTag::BadStart),
            bytes if bytes.len() > TAG_LEN_MAX => Err(InvalidTag::TooLong { len: bytes.len() }),
            bytes if bytes.iter().all(is_allowed) => Ok(Self(text.to_owned())),
            _ => Err(InvalidTag::BadCharacter),
        }
    }
}

/// Why a text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// Empty, or it begins with a separator.
    #[error("a tag begins with a letter, a digit or '_'")]
    BadStart,
    /// Over the specification's limit.
    #[error("the tag has {len} bytes, over the limit of {TAG_LEN_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Something other than letters, digits, `_`, `.` and `-`.
    #[error("a tag holds letters, digits, '_', '.' and '-' only")]
    BadCharacter,
}

/// What follows `:` or `@`: tags move, digests never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A movable name.
    Tag(Tag),
    /// The content's own name.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = InvalidReference;

    /// A text with `:` is a digest, any other a tag; nothing else exists.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It has a colon and is no digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// It has no colon and is no tag.
    #[error(transparent)]
    Tag(#[from] InvalidTag),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

macro_rules! text_newtype {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
text_newtype!(Repository, InvalidRepository);
text_newtype!(Tag, InvalidTag);

/// Ours: many clients bound `host/name` to 255 characters.
const REPOSITORY_LEN_MAX: usize = 255;

/// The distribution specification's limit.
const TAG_LEN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_grammar() {
        for good in ["a", "a/b/c", "a-b", "a--b", "a__b", "a.b_c-d", "blobs/uploads", "0/1"] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        let long = "a/".repeat(127) + "aaa";
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a_", "-a", "a/..", "é", "a b", "a%2fb",
            "a.-b", &long,
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reference_with_a_colon_is_a_digest() {
        assert!(matches!("v1".parse(), Ok(Reference::Tag(_))));
        assert!("sha256:baddigeststring".parse::<Reference>().is_err());
        let digest = Digest::sha256(b"").to_string();
        assert!(matches!(digest.parse(), Ok(Reference::Digest(_))));
    }
}
