//! What a cold scan costs, beside inflating the same layers once with the same library.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::figures::{children_cpu_seconds, cpu_seconds, median};

const RUNS: usize = 7;

pub(crate) fn run(lazaret: &Path) {
    println!("\n## Cold scan, processor time (bar: 1.2 times inflating the layers once)");
    let folder = tempfile::tempdir().unwrap();
    for name in ["debian-bullseye-ga", "distroless", "python-alpine"] {
        let Some(layout) = testkit::shared(&format!("images/{name}"), "the cold scan of a real image") else {
            continue;
        };
        let mut scans = Vec::new();
        let mut inflations = Vec::new();
        for _ in 0..RUNS {
            let before = children_cpu_seconds();
            let status = Command::new(lazaret)
                .args(["scan", "--data"])
                .arg(folder.path())
                .arg(&layout)
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success());
            scans.push(children_cpu_seconds() - before);
            let before = cpu_seconds(std::process::id());
            layers(&layout).iter().for_each(|layer| inflate(layer));
            inflations.push(cpu_seconds(std::process::id()) - before);
        }
        let (scan, inflation) = (median(scans), median(inflations));
        println!("{name}: scan {scan:.3} s, inflating {inflation:.3} s, ratio {:.2}", scan / inflation);
    }
}

/// Every blob of the layout that is gzip.
fn layers(layout: &Path) -> Vec<PathBuf> {
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let is_gzip = |path: &PathBuf| {
        let mut magic = [0; 2];
        File::open(path).unwrap().read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b]
    };
    blobs.filter(is_gzip).collect()
}

fn inflate(path: &Path) {
    let mut reader =
        flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 18, File::open(path).unwrap()));
    let mut buffer = vec![0; 1 << 18];
    while reader.read(&mut buffer).unwrap() > 0 {}
}
