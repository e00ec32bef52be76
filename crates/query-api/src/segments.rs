//! The rows of images in runs of some thousands, each with its columns.
//!
//! A run's columns are made when a query first asks for them, and serve every query until an image in the run
//! changes. What changes costs one run, whatever the number of rows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use kql::Codes;
use metastore::ImageKey;
use uuid::Uuid;

use crate::store::Row;

/// All images' rows, by registry and image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    /// By the first image of each.
    all: BTreeMap<Place, Arc<Segment>>,
    /// The registry of each repository.
    registries: HashMap<i64, i64>,
}

/// A registry (its row number) and an image in it.
type Place = (i64, ImageKey);

/// The rows of neighbouring images of one registry.
#[derive(Debug)]
pub(crate) struct Segment {
    images: Vec<(ImageKey, Arc<[Row]>)>,
    rows: usize,
    columns: OnceLock<Columns>,
}

/// Rows, column by column.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) rows: usize,
    pub(crate) tails: Arc<Vec<Uuid>>,
    pub(crate) ids: Codes,
    pub(crate) names: Codes,
    pub(crate) places: Codes,
    pub(crate) own: Codes,
    pub(crate) shared: Codes,
}

impl Columns {
    /// The columns of these rows.
    pub(crate) fn of<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Self {
        let codes = |code: fn(&Row) -> u32| -> Codes { Arc::new(rows.clone().map(code).collect()) };
        let tails: Vec<Uuid> = rows.clone().map(|row| row.tail).collect();
        Self {
            rows: tails.len(),
            tails: Arc::new(tails),
            ids: codes(|row| row.id),
            names: codes(|row| row.name),
            places: codes(|row| row.place),
            own: codes(|row| row.own),
            shared: codes(|row| row.shared),
        }
    }
}

impl Segment {
    fn new(images: Vec<(ImageKey, Arc<[Row]>)>) -> Self {
        let rows = images.iter().map(|(_, rows)| rows.len()).sum();
        Self { images, rows, columns: OnceLock::new() }
    }

    /// The rows of images in these repositories alone, in columns that are made for one query.
    pub(crate) fn columns_of(&self, repositories: &HashSet<i64>) -> Columns {
        let images = self.images.iter().filter(|((repository, _), _)| repositories.contains(repository));
        Columns::of(images.flat_map(|(_, rows)| rows.iter()))
    }

    /// Its rows in columns.
    pub(crate) fn columns(&self) -> &Columns {
        self.columns.get_or_init(|| Columns::of(self.images.iter().flat_map(|(_, rows)| rows.iter())))
    }
}

impl Segments {
    /// Puts an image's rows in the place of those that it had.
    pub(crate) fn put(&mut self, registry: i64, key: ImageKey, rows: Arc<[Row]>) {
        self.registries.insert(key.0, registry);
        let place = (registry, key);
        let found = self.holding(&place).or_else(|| self.behind(&place));
        let mut images = found.map(|first| self.take(&first)).unwrap_or_default();
        match images.binary_search_by(|(key, _)| key.cmp(&place.1)) {
            Ok(at) => images[at].1 = rows,
            Err(at) => images.insert(at, (place.1, rows)),
        }
        self.insert(registry, images);
    }

    /// Takes an image's rows out, if it has any.
    pub(crate) fn remove(&mut self, key: &ImageKey) {
        let Some(registry) = self.registries.get(&key.0).copied() else { return };
        let Some(first) = self.holding(&(registry, key.clone())) else { return };
        let mut images = self.take(&first);
        images.retain(|(known, _)| known != key);
        let rows: usize = images.iter().map(|(_, rows)| rows.len()).sum();
        // What is left of a run joins the next one.
        if rows < ROWS_MIN
            && let Some(next) = self.behind(&first)
            && self.all.get(&next).is_some_and(|next| next.rows + rows < ROWS_MAX)
        {
            images.extend(self.take(&next));
        }
        self.insert(registry, images);
    }

    /// The registries' runs of rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Segment)> {
        self.all.iter().map(|((registry, _), segment)| (*registry, &**segment))
    }

    /// Every row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.all.values().flat_map(|segment| segment.images.iter()).flat_map(|(_, rows)| rows.iter())
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.all.values().map(|segment| segment.rows).sum()
    }

    /// About how many bytes of memory they take, columns included.
    pub(crate) fn size(&self) -> usize {
        let images: usize = self.all.values().map(|segment| segment.images.len()).sum();
        self.len() * 2 * size_of::<Row>() + images * 160
    }

    /// The same with other rows.
    pub(crate) fn map(&self, mut row: impl FnMut(&Row) -> Row) -> Self {
        let mut one =
            |(key, rows): &(ImageKey, Arc<[Row]>)| (key.clone(), rows.iter().map(&mut row).collect());
        let segments = self.all.iter().map(|(first, segment)| {
            (first.clone(), Arc::new(Segment::new(segment.images.iter().map(&mut one).collect())))
        });
        Self { all: segments.collect(), registries: self.registries.clone() }
    }

    /// The run in which the image is, or would be, if it is not before all of them.
    fn holding(&self, place: &Place) -> Option<Place> {
        let (first, _) = self.all.range(..=place).next_back()?;
        (first.0 == place.0).then(|| first.clone())
    }

    fn behind(&self, place: &Place) -> Option<Place> {
        let (first, _) = self.all.range(place..).next()?;
        (first.0 == place.0).then(|| first.clone())
    }

    fn take(&mut self, first: &Place) -> Vec<(ImageKey, Arc<[Row]>)> {
        self.all.remove(first).map(|segment| segment.images.clone()).unwrap_or_default()
    }

    /// Puts images in as one run, or as two if they are too many.
    fn insert(&mut self, registry: i64, mut images: Vec<(ImageKey, Arc<[Row]>)>) {
        let rows: usize = images.iter().map(|(_, rows)| rows.len()).sum();
        if rows > ROWS_MAX && images.len() > 1 {
            let rest = images.split_off(images.len() / 2);
            self.insert(registry, rest);
        }
        if let Some((first, _)) = images.first() {
            self.all.insert((registry, first.clone()), Arc::new(Segment::new(images)));
        }
    }
}

const ROWS_MAX: usize = 16_384;
const ROWS_MIN: usize = 2_048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(own: u32) -> Row {
        Row { tail: Uuid::nil(), id: 0, name: 0, place: 0, own, shared: 0 }
    }

    proptest! {
        #![proptest_config(testkit::cases(16))]
        /// Runs hold what a plain map holds, each image once and in order, and none is too long.
        #[test]
        fn they_hold_what_was_put(steps in prop::collection::vec((0_i64..4, 0_u8..40, prop::option::of(1_usize..3000)), 1..60)) {
            let mut segments = Segments::default();
            let mut plain: BTreeMap<Place, Vec<u32>> = BTreeMap::new();
            for (number, (repository, image, rows)) in steps.into_iter().enumerate() {
                // Two repositories a registry.
                let registry = repository / 2;
                let key = (repository, oci::Digest::sha256(&[image]));
                let own = u32::try_from(number).unwrap();
                match rows {
                    Some(rows) => {
                        segments.put(registry, key.clone(), std::iter::repeat_with(|| row(own)).take(rows).collect());
                        plain.insert((registry, key), vec![own; rows]);
                    }
                    None => {
                        segments.remove(&key);
                        plain.remove(&(registry, key));
                    }
                }
                let wanted: Vec<u32> = plain.values().flatten().copied().collect();
                let found: Vec<u32> = segments.rows().map(|row| row.own).collect();
                prop_assert_eq!(&found, &wanted);
                let columns: Vec<u32> = segments.iter().flat_map(|(_, it)| it.columns().own.iter().copied().collect::<Vec<_>>()).collect();
                prop_assert_eq!(columns, wanted);
                for (registry, segment) in segments.iter() {
                    prop_assert!(segment.rows <= ROWS_MAX || segment.images.len() == 1);
                    prop_assert!(segment.images.iter().all(|(key, _)| key.0 / 2 == registry));
                }
            }
        }
    }
}
