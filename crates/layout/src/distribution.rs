//! The folder in which Docker's registry keeps its images (distribution, `registry/storage/paths.go`):
//!
//! ```text
//! docker/registry/v2/repositories/NAME/_manifests/revisions/sha256/HEX/link
//! docker/registry/v2/repositories/NAME/_manifests/tags/TAG/current/link
//! docker/registry/v2/blobs/sha256/HE/HEX/data
//! ```

use std::fs;
use std::path::Path;

use oci::{Digest, MediaType, Repository, Tag};

use crate::collection::Root;
use crate::{Files, LayoutError, Slice};

/// Where in the folder it begins; `None`: it is something else.
pub(crate) fn prefix(files: &Files) -> Option<&'static str> {
    let has =
        |prefix: &&str| files.is_folder() && is_folder(&files.root().join(format!("{prefix}repositories")));
    PREFIXES.iter().find(|prefix| has(prefix)).copied()
}

pub(crate) fn blob(files: &Files, prefix: &str, digest: &Digest) -> Option<Slice> {
    let (algorithm, hex) = (digest.algorithm().name(), digest.hex());
    files.find(&format!("{prefix}blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
}

/// Every tag, and every manifest without one.
pub(crate) fn roots(files: &Files, prefix: &str) -> Result<Vec<Root>, LayoutError> {
    let mut walk = Walk { files, prefix, seen: 0, roots: Vec::new() };
    walk.repositories(&mut Vec::new())?;
    Ok(walk.roots)
}

struct Walk<'a> {
    files: &'a Files,
    prefix: &'a str,
    seen: usize,
    roots: Vec<Root>,
}

impl Walk<'_> {
    fn repositories(&mut self, path: &mut Vec<String>) -> Result<(), LayoutError> {
        let here = format!("{}repositories/{}", self.prefix, path.join("/"));
        for name in self.folders(&here)? {
            if name == "_manifests" {
                if let Ok(repository) = path.join("/").parse() {
                    self.manifests(&repository, here.trim_end_matches('/'))?;
                }
            } else if !name.starts_with('_') && path.len() < DEPTH_MAX {
                path.push(name);
                self.repositories(path)?;
                path.pop();
            }
        }
        Ok(())
    }

    fn manifests(&mut self, repository: &Repository, folder: &str) -> Result<(), LayoutError> {
        let mut tagged = Vec::new();
        for name in self.folders(&format!("{folder}/_manifests/tags"))? {
            let Ok(tag) = name.parse::<Tag>() else { continue };
            let link = format!("{folder}/_manifests/tags/{name}/current/link");
            // A tag that was deleted leaves its folder.
            let Some(found) = self.files.find(&link) else { continue };
            let bytes = self.files.document(&link, Some(found))?;
            let digest = String::from_utf8_lossy(&bytes).trim().parse::<Digest>();
            let digest = digest.map_err(|_| self.files.invalid(&link))?;
            tagged.push(digest.clone());
            self.root(repository, Some(tag), digest);
        }
        for algorithm in ["sha256", "sha512"] {
            let revisions = format!("{folder}/_manifests/revisions/{algorithm}");
            for hex in self.folders(&revisions)? {
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else { continue };
                // One that was deleted has lost its link.
                let is_there = self.files.find(&format!("{revisions}/{hex}/link")).is_some();
                if is_there && !tagged.contains(&digest) {
                    self.root(repository, None, digest);
                }
            }
        }
        Ok(())
    }

    fn root(&mut self, repository: &Repository, tag: Option<Tag>, digest: Digest) {
        // It is written nowhere: the document tells.
        let media_type = MediaType::new("");
        self.roots.push(Root { repository: Some(repository.clone()), tag, digest, media_type });
    }

    /// The folders in a folder, by name; none if it is not there. Links are no folders.
    fn folders(&mut self, name: &str) -> Result<Vec<String>, LayoutError> {
        let path = self.files.root().join(name);
        if !is_folder(&path) {
            return Ok(Vec::new());
        }
        let failed = |source| LayoutError::File { path: path.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.seen += 1;
            if self.seen > ENTRIES_MAX {
                let path = self.files.root().to_owned();
                return Err(LayoutError::TooMany { path, what: "tags and manifests", max: ENTRIES_MAX });
            }
            if entry.file_type().map_err(failed)?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

const PREFIXES: [&str; 2] = ["docker/registry/v2/", ""];
/// A name of 255 bytes has no more components.
const DEPTH_MAX: usize = 128;
const ENTRIES_MAX: usize = 2_000_000;
