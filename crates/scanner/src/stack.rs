//! An image's layers added up, one in memory at a time.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use inventory::{ImageInventory, ImageLimits, LayerInventory, LayerParts, LayerStack, Problem, ProblemKind};
use oci::Digest;

use crate::ScanError;
use crate::judge::Layer;

/// Lays the layers over one another. `load` brings the inventory of the layer at a position, and how many
/// bytes it has as a document; a layer that is listed again is loaded once, or as seldom as its size allows.
pub(crate) async fn stack<F>(
    layers: &[Layer],
    mut load: impl FnMut(usize) -> F,
) -> Result<ImageInventory, ScanError>
where
    F: Future<Output = Result<(LayerInventory, u64), ScanError>>,
{
    let mut stack = LayerStack::new(ImageLimits::default());
    let repeated = repeated(layers);
    let mut kept: HashMap<&Digest, Arc<LayerParts>> = HashMap::new();
    let (mut kept_bytes, mut loaded_bytes) = (0, 0);
    for (position, layer) in layers.iter().enumerate() {
        let digest = &layer.digest;
        if !layer.is_filesystem {
            let detail = format!("the layer {digest} is in a form that is not read here");
            stack.problem(Problem { kind: ProblemKind::UnsupportedFormat, path: None, detail });
            continue;
        }
        let parts = match kept.get(digest) {
            Some(parts) => Arc::clone(parts),
            None if loaded_bytes > DOCUMENT_BYTES_MAX => {
                let detail = format!(
                    "the limit document_bytes_max of an image was reached: the layers' inventories have more than \
                     {DOCUMENT_BYTES_MAX} bytes"
                );
                stack.problem(Problem { kind: ProblemKind::LimitReached, path: None, detail });
                break;
            }
            None => {
                let (inventory, bytes) = load(position).await?;
                loaded_bytes += bytes;
                let parts = Arc::new(LayerParts::from(inventory));
                if repeated.contains(digest) && kept_bytes + bytes <= KEPT_BYTES_MAX {
                    kept_bytes += bytes;
                    kept.insert(digest, Arc::clone(&parts));
                }
                parts
            }
        };
        let digest = digest.clone();
        let (next, has_room) = computing(move || {
            let has_room = stack.add(&digest, &parts);
            (stack, has_room)
        })
        .await?;
        stack = next;
        if !has_room {
            break;
        }
    }
    drop(kept);
    computing(move || stack.finish()).await
}

/// The filesystem layers, each once, as far as they count.
pub(crate) fn distinct(layers: &[Layer]) -> Vec<Digest> {
    let mut seen = HashSet::new();
    let counted = layers.iter().filter(|layer| layer.is_filesystem).take(ImageLimits::default().layers_max);
    counted.filter(|layer| seen.insert(&layer.digest)).map(|layer| layer.digest.clone()).collect()
}

fn repeated(layers: &[Layer]) -> HashSet<&Digest> {
    let mut seen = HashSet::new();
    layers.iter().map(|layer| &layer.digest).filter(|digest| !seen.insert(*digest)).collect()
}

/// Runs what takes long where it holds up no one else.
pub(crate) async fn computing<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ScanError> {
    tokio::task::spawn_blocking(work).await.map_err(ScanError::Computing)
}

/// Documents read for one image: some seconds of work. A hundred layers that each rewrite a database of
/// 3,000 packages have 40 MiB.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// Documents of layers that are listed more than once, of which the inventories stay in memory.
const KEPT_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use inventory::{Ecosystem, FileContent, LayerFile, Package, SourcePackage};

    use super::*;

    fn layer(name: &str) -> Layer {
        Layer { digest: Digest::sha256(name.as_bytes()), is_filesystem: true }
    }

    fn status(packages: usize, version: &str) -> LayerInventory {
        let package = |number| Package {
            ecosystem: Ecosystem::Deb,
            name: format!("package-{number}"),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            source: SourcePackage { name: format!("package-{number}"), version: version.to_owned() },
        };
        let packages = (0..packages).map(package).collect();
        let content = FileContent::Packages { ecosystem: Ecosystem::Deb, packages };
        let files = vec![LayerFile { path: "var/lib/dpkg/status".to_owned(), content }];
        LayerInventory { files, ..LayerInventory::default() }
    }

    async fn stacked(layers: &[Layer], bytes: u64) -> (ImageInventory, usize) {
        let mut loads = 0;
        let image = stack(layers, |position| {
            loads += 1;
            async move { Ok((status(10, &position.to_string()), bytes)) }
        });
        (image.await.expect("adds up"), loads)
    }

    #[tokio::test]
    async fn a_layer_that_is_listed_again_is_loaded_once() {
        let layers: Vec<_> = (0..900).map(|_| layer("the same")).collect();
        let (image, loads) = stacked(&layers, 16 << 20).await;
        assert_eq!((loads, image.packages.len(), image.problems), (1, 10, Vec::new()));
    }

    #[tokio::test]
    async fn what_is_too_much_is_said() {
        // Too large to be kept: loaded again and again, to the limit.
        let layers: Vec<_> = (0..900).map(|_| layer("the same")).collect();
        let (image, loads) = stacked(&layers, 17 << 20).await;
        assert_eq!((loads, image.packages.len()), (16, 10));
        assert!(image.problems[0].detail.contains("document_bytes_max"), "{:?}", image.problems);
        assert_eq!(image.problems[0].kind, ProblemKind::LimitReached);

        let layers: Vec<_> = (0..2_000).map(|number| layer(&number.to_string())).collect();
        let (image, loads) = stacked(&layers, 1).await;
        assert_eq!((loads, image.packages.len()), (1_001, 10));
        assert!(image.problems[0].detail.contains("layers_max"), "{:?}", image.problems);
        assert_eq!(distinct(&layers).len(), 1_000);
    }
}
