//! Small disks, to be filled.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::left_out;

/// A small disk of its own, a tmpfs; gone when dropped. It is filled by making it smaller: nothing has to be
/// written for that.
pub struct Disk {
    /// Where it is mounted.
    pub folder: PathBuf,
    bytes: u64,
}

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
            Ok(output) if output.status.success() => {
                Some(Self { folder: folder.to_owned(), bytes: u64::from(megabytes) << 20 })
            }
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
        let disk = rustix::fs::statvfs(&self.folder).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Leaves so many bytes, or less than a page more; of what is given back later, all.
    ///
    /// # Panics
    /// If it is gone, or if what writes to it never pauses.
    pub fn fill_up_to(&self, left: u64) {
        // What is written between the look and the change is more than the new size: look again.
        let resized = (0..1000).any(|_| {
            let disk = rustix::fs::statvfs(&self.folder).unwrap();
            let used = (disk.f_blocks - disk.f_bavail) * disk.f_frsize;
            // A size of nothing would be one without a limit.
            self.resize((used + left).max(4096))
        });
        assert!(resized, "the disk cannot be made smaller");
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// If it is gone.
    pub fn make_room(&self) {
        assert!(self.resize(self.bytes), "the disk cannot be made larger");
    }

    fn resize(&self, bytes: u64) -> bool {
        let size = format!("remount,size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-o", &size]).arg(&self.folder).stderr(Stdio::null());
        mount.status().unwrap().success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.folder).status());
    }
}
