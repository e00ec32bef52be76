//! Payloads in files and folders.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::report::Refusal;

/// The files that a path stands for: itself, or every payload in a folder, sorted, links not followed.
/// A path or folder that cannot be used stands for its refusal.
pub(crate) fn list(path: &Path) -> Vec<(PathBuf, Result<(), Refusal>)> {
    match fs::metadata(path) {
        Err(error) => vec![(path.to_owned(), Err(Refusal::File(error)))],
        Ok(found) if !found.is_dir() => vec![(path.to_owned(), Ok(()))],
        Ok(_) => {
            let mut files = Vec::new();
            match walk(path, 0, &mut files) {
                Err(refusal) => vec![(path.to_owned(), Err(refusal))],
                Ok(()) if files.is_empty() => vec![(path.to_owned(), Err(Refusal::Nothing))],
                Ok(()) => {
                    files.sort();
                    files.into_iter().map(|file| (file, Ok(()))).collect()
                }
            }
        }
    }
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Refusal> {
    let too_many = Refusal::TooMany { files_max: FILES_MAX, depth_max: DEPTH_MAX };
    if depth > DEPTH_MAX {
        return Err(too_many);
    }
    for (seen, entry) in fs::read_dir(folder).map_err(Refusal::File)?.enumerate() {
        let entry = entry.map_err(Refusal::File)?;
        let kind = entry.file_type().map_err(Refusal::File)?;
        if kind.is_dir() {
            walk(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() && is_payload(&entry.path()) {
            files.push(entry.path());
        }
        if seen >= FILES_MAX || files.len() > FILES_MAX {
            return Err(too_many);
        }
    }
    Ok(())
}

fn is_payload(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [".json", ".json.gz", ".json.zst"].iter().any(|ending| name.ends_with(ending))
}

/// A whole file, if it is not too long.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Refusal::File)?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(Refusal::File)?;
    if bytes.len() as u64 > bytes_max { Err(Refusal::TooLarge { bytes_max }) } else { Ok(bytes) }
}

/// A mirror of everything we read is some dozens.
const FILES_MAX: usize = 10_000;

/// `alpine/v3.22/main.json` in some folder of a download.
const DEPTH_MAX: usize = 8;
