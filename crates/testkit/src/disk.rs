//! Small disks, to be filled.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::left_out;

/// A small disk of its own; gone when dropped.
pub struct Disk(pub PathBuf);

impl Disk {
    /// Mounts one at `folder`, which is made. `None`, and said so: that cannot be done here.
    ///
    /// # Panics
    /// If the folder is there already.
    #[must_use]
    pub fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "lazaret-test"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            other => {
                let why = other.map_or_else(
                    |error| error.to_string(),
                    |output| String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                );
                left_out(
                    "a full disk",
                    &format!("no file system can be mounted here (run the tests as root): {why}"),
                );
                None
            }
        }
    }

    /// How many bytes are free.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Leaves so many bytes.
    ///
    /// # Panics
    /// If it is gone.
    pub fn fill_up_to(&self, left: u64) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        let page = [0; 4096];
        while self.free() > left && filler.write_all(&page).is_ok() {}
    }

    /// What was given back since is taken, too.
    ///
    /// # Panics
    /// If it was not filled before.
    pub fn fill_more(&self) {
        let mut filler = std::fs::File::options().append(true).open(self.filler()).unwrap();
        let page = [0; 4096];
        while self.free() > 0 && filler.write_all(&page).is_ok() {}
    }

    /// Takes the filling away.
    ///
    /// # Panics
    /// If it was not filled.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
