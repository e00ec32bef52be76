//! The rows of `securityresources`, in columns, kept up by what changes.
//!
//! What a finding says is the same in each image that has it, and what an image says is the same of each of
//! its findings: each text is held once, and a row is four codes and a name. A version never changes; a
//! query that began with one goes on with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kql::{Batch, Codes, Column, Dictionary, Document, Layer, Stem, Stemmed, Stems, Texts, Value};
use metastore::ImageKey;
use parking_lot::Mutex;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::segments::{Columns, Segments};

/// Rows as they are at one time.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Up to which place in the log of changes this goes.
    pub(crate) upto: i64,
    /// Images' rows.
    images: Segments,
    /// Rows of registries and subscriptions.
    others: Vec<Arc<Chunk>>,
    stems: InternedStems,
    places: Places,
    own: Interned,
    shared: Interned,
    /// What a finding says, by what it was made of.
    findings: Arc<Mutex<HashMap<u128, u32>>>,
}

/// The rows of one thing, which whoever may read that thing may see.
#[derive(Debug)]
struct Chunk {
    of: Of,
    rows: Box<[Row]>,
}

/// Whose rows they are, if not an image's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// This registry's assessments (its row number).
    Registry(i64),
    /// This subscription's plans.
    Subscription(Uuid),
}

/// The images of a registry that may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// All.
    All,
    /// Those in these repositories, by their row numbers.
    In(HashSet<i64>),
    /// None of them.
    Nothing,
}

/// A row: codes of what it shares with others, and what it has alone.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What the name is, if it is a UUID; the id ends with it, too.
    pub(crate) tail: Uuid,
    /// What stands before that, in each; or the whole.
    pub(crate) id: u32,
    pub(crate) name: u32,
    pub(crate) place: u32,
    /// What is the row's own, and what it shares with others of its image.
    pub(crate) own: u32,
    pub(crate) shared: u32,
}

/// A row on its way in.
pub(crate) struct NewRow {
    pub(crate) document: Json,
    pub(crate) place: Place,
}

/// What many rows have in common besides their documents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) kind: &'static str,
    pub(crate) tenant: Uuid,
    pub(crate) group: Arc<str>,
    pub(crate) subscription: Uuid,
}

/// Texts, each once.
#[derive(Debug, Default)]
struct Words {
    codes: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    bytes: usize,
}

impl Words {
    fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = Arc::from(text);
        self.bytes += text.len() + 72;
        self.codes.insert(Arc::clone(&text), code);
        self.texts.push(text);
        code
    }
}

/// JSON texts, each once, with what was looked up in them.
#[derive(Clone, Debug, Default)]
struct Interned {
    /// Versions share the texts, which only grow: each looks no further than its own rows do.
    words: Arc<Mutex<Words>>,
    texts: Arc<Texts>,
}

impl Interned {
    fn code(&self, text: &str) -> u32 {
        self.words.lock().code(text)
    }

    fn text(&self, code: u32) -> Arc<str> {
        self.words.lock().texts.get(code as usize).cloned().unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.words.lock().texts.len()
    }

    /// Hands the new texts on to where queries read them.
    fn settle(&mut self) {
        if let Some(new) = self.words.lock().texts.get(self.texts.len()..)
            && !new.is_empty()
        {
            self.texts = Arc::new(self.texts.with(new.iter().cloned()));
        }
    }
}

/// How ids and names begin, each once, with what was decided of them.
#[derive(Clone, Debug, Default)]
struct InternedStems {
    words: Arc<Mutex<StemWords>>,
    stems: Arc<Stems>,
}

#[derive(Debug, Default)]
struct StemWords {
    codes: HashMap<Stem, u32>,
    all: Vec<Stem>,
    bytes: usize,
}

impl InternedStems {
    fn code(&self, text: &str, has_tail: bool) -> u32 {
        let stem = Stem { text: Arc::from(text), has_tail };
        let words = &mut *self.words.lock();
        if let Some(code) = words.codes.get(&stem) {
            return *code;
        }
        let code = u32::try_from(words.all.len()).unwrap_or(u32::MAX);
        words.bytes += stem.text.len() + 96;
        words.codes.insert(stem.clone(), code);
        words.all.push(stem);
        code
    }

    fn settle(&mut self) {
        if let Some(new) = self.words.lock().all.get(self.stems.len()..)
            && !new.is_empty()
        {
            self.stems = Arc::new(self.stems.with(new.iter().cloned()));
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Places {
    codes: HashMap<Place, u32>,
    all: Vec<Place>,
    columns: Option<PlaceColumns>,
}

#[derive(Clone, Debug)]
struct PlaceColumns {
    kind: Arc<Dictionary>,
    tenant: Arc<Dictionary>,
    group: Arc<Dictionary>,
    subscription: Arc<Dictionary>,
}

impl Places {
    fn code(&mut self, place: &Place) -> u32 {
        if let Some(code) = self.codes.get(place) {
            return *code;
        }
        let code = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.codes.insert(place.clone(), code);
        self.all.push(place.clone());
        self.columns = None;
        code
    }

    fn settle(&mut self) {
        if self.columns.is_some() {
            return;
        }
        let column = |text: fn(&Place) -> String| {
            Arc::new(Dictionary::of(self.all.iter().map(|place| Value::text(text(place)))))
        };
        self.columns = Some(PlaceColumns {
            kind: column(|place| place.kind.to_owned()),
            tenant: column(|place| place.tenant.to_string()),
            group: column(|place| place.group.to_string()),
            subscription: column(|place| place.subscription.to_string()),
        });
    }
}

impl Version {
    /// Puts an image's rows in the place of those that it had.
    pub(crate) fn put_image(&mut self, key: ImageKey, registry: i64, rows: Vec<Row>) {
        self.images.put(registry, key, rows.into());
    }

    pub(crate) fn remove_image(&mut self, key: &ImageKey) {
        self.images.remove(key);
    }

    /// Puts the rows of registries and subscriptions in the place of all there were.
    pub(crate) fn put_others(&mut self, others: Vec<(Of, Vec<NewRow>)>) {
        let chunks = others.into_iter().map(|(of, rows)| {
            let rows = rows.into_iter().map(|row| self.row(row)).collect();
            Arc::new(Chunk { of, rows })
        });
        self.others = chunks.collect();
    }

    /// The row that stands for a document.
    pub(crate) fn row(&mut self, mut row: NewRow) -> Row {
        let name = row.document["name"].as_str().unwrap_or_default();
        let id = row.document["id"].as_str().unwrap_or_default();
        let (tail, id, name) = match (Uuid::parse_str(name), id.strip_suffix(name)) {
            // A name that is written otherwise than we would write it stays a text.
            (Ok(uuid), Some(before)) if uuid.to_string() == name => {
                (uuid, self.stems.code(before, true), self.stems.code("", true))
            }
            _ => (Uuid::nil(), self.stems.code(id, false), self.stems.code(name, false)),
        };
        let place = self.places.code(&row.place);
        let mut own = row.document["properties"].take();
        let shared = split(&mut own);
        let own = self.own.code(&own.to_string());
        let shared = self.shared.code(&shared.to_string());
        Row { tail, id, name, place, own, shared }
    }

    /// The row of a finding: as another one of its image, but for its name and what it says. What a finding of
    /// this fingerprint says is made only where none has said it yet.
    pub(crate) fn row_like(
        &mut self,
        first: &Row,
        name: Uuid,
        fingerprint: u128,
        document: impl FnOnce() -> NewRow,
    ) -> Row {
        let known = self.findings.lock().get(&fingerprint).copied();
        let own = known.unwrap_or_else(|| {
            let own = self.row(document()).own;
            self.findings.lock().insert(fingerprint, own);
            own
        });
        Row { tail: name, own, ..first.clone() }
    }

    /// What a row says alone, and what it shares.
    #[cfg(test)]
    pub(crate) fn texts_of(&self, row: &Row) -> (Arc<str>, Arc<str>) {
        (self.own.text(row.own), self.shared.text(row.shared))
    }

    /// Makes what was put in readable, and gives back texts that no row has any more.
    pub(crate) fn settle(&mut self) {
        self.stems.settle();
        self.compact();
        self.own.settle();
        self.shared.settle();
        self.places.settle();
        self.stems.settle();
    }

    /// Once most texts are of rows that are gone, all are gathered anew.
    fn compact(&mut self) {
        let held = self.own.len() + self.shared.len();
        if held < COMPACT_TEXTS_MIN {
            return;
        }
        let mut own = vec![false; self.own.len()];
        let mut shared = vec![false; self.shared.len()];
        for row in self.images.rows().chain(self.others.iter().flat_map(|chunk| chunk.rows.iter())) {
            own[row.own as usize] = true;
            shared[row.shared as usize] = true;
        }
        let live = own.iter().chain(&shared).filter(|is_live| **is_live).count();
        if live * 2 > held {
            return;
        }
        let mut fresh = Self { upto: self.upto, places: self.places.clone(), ..Self::default() };
        let mut moved = |row: &Row| {
            let stem = |code: u32| {
                // Every row's stems are settled.
                self.stems.stems.get(code).map_or(0, |stem| fresh.stems.code(&stem.text, stem.has_tail))
            };
            Row {
                id: stem(row.id),
                name: stem(row.name),
                own: fresh.own.code(&self.own.text(row.own)),
                shared: fresh.shared.code(&self.shared.text(row.shared)),
                ..row.clone()
            }
        };
        let images = self.images.map(&mut moved);
        let others = self.others.iter().map(|chunk| {
            let rows = chunk.rows.iter().map(&mut moved).collect();
            Arc::new(Chunk { of: chunk.of.clone(), rows })
        });
        fresh.others = others.collect();
        fresh.images = images;
        *self = fresh;
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.images.len() + self.others.iter().map(|chunk| chunk.rows.len()).sum::<usize>()
    }

    /// About how many bytes of memory the rows take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.images.size()
            + self.stems.words.lock().bytes
            + self.own.words.lock().bytes
            + self.shared.words.lock().bytes
    }

    /// The rows of the things that may be seen, in batches: `images` tells it of a registry's images (by its row
    /// number), `sees` of everything else.
    pub(crate) fn batches<'a>(
        &'a self,
        images: impl Fn(i64) -> &'a Images + 'a,
        sees: impl Fn(&Of) -> bool + 'a,
        needed: &'a [bool],
    ) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let seen = self.others.iter().filter(|chunk| sees(&chunk.of)).flat_map(|chunk| chunk.rows.iter());
        let others = Columns::of(seen);
        let images = self.images.iter().filter_map(move |(registry, segment)| match images(registry) {
            Images::All => Some(self.batch(segment.columns(), needed)),
            Images::In(repositories) => {
                let columns = segment.columns_of(repositories);
                (columns.rows > 0).then(|| self.batch(&columns, needed))
            }
            Images::Nothing => None,
        });
        Box::new(images.chain((others.rows > 0).then(|| self.batch(&others, needed))))
    }

    fn batch(&self, columns: &Columns, needed: &[bool]) -> Batch {
        let is_needed = |column: usize| needed.get(column).copied().unwrap_or(true);
        let nothing = || Column::Const(Value::Null);
        let empty = || Column::Const(Value::text(""));
        let place = |dictionary: fn(&PlaceColumns) -> &Arc<Dictionary>| match &self.places.columns {
            Some(places) => {
                Column::Coded { codes: Arc::clone(&columns.places), values: Arc::clone(dictionary(places)) }
            }
            None => Column::Const(Value::Null),
        };
        let stemmed = |codes: &Codes| {
            Column::Stemmed(Stemmed {
                codes: Arc::clone(codes),
                stems: Arc::clone(&self.stems.stems),
                tails: Arc::clone(&columns.tails),
            })
        };
        let properties = if is_needed(PROPERTIES) {
            let layer = |codes: &Codes, texts: &Arc<Texts>| Layer {
                codes: Arc::clone(codes),
                texts: Arc::clone(texts),
            };
            let own = layer(&columns.own, &self.own.texts);
            let shared = layer(&columns.shared, &self.shared.texts);
            Column::Document(Document::new(vec![own, shared]))
        } else {
            nothing()
        };
        let rows = columns.rows;
        let columns = vec![
            stemmed(&columns.ids),
            stemmed(&columns.names),
            place(|places| &places.kind),
            place(|places| &places.tenant),
            empty(),
            Column::Const(Value::text("global")),
            place(|places| &places.group),
            place(|places| &places.subscription),
            empty(),
            nothing(),
            nothing(),
            properties,
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            empty(),
        ];
        Batch { rows, columns }
    }
}

/// Takes out of a row's properties what it shares with others of its image. Laid over each other the two make
/// the whole again, whatever the list of paths says.
fn split(properties: &mut Json) -> Json {
    let mut shared = serde_json::Map::new();
    for path in SHARED {
        let (parents, last) = match path {
            [last] => (None, last),
            [parent, last] => (Some(*parent), last),
            _ => continue,
        };
        let of = match parents {
            Some(parent) => properties.get_mut(parent),
            None => Some(&mut *properties),
        };
        let Some(taken) = of.and_then(Json::as_object_mut).and_then(|of| of.shift_remove(*last)) else {
            continue;
        };
        let into = match parents {
            Some(parent) => {
                let within =
                    shared.entry(parent.to_owned()).or_insert_with(|| Json::Object(serde_json::Map::new()));
                within.as_object_mut()
            }
            None => Some(&mut shared),
        };
        if let Some(into) = into {
            into.insert((*last).to_owned(), taken);
        }
    }
    Json::Object(shared)
}

/// What an image says of each of its findings.
const SHARED: &[&[&str]] = &[
    &["timeGenerated"],
    &["resourceDetails"],
    &["resourceAdditionalData"],
    &["additionalData", "imageDigest"],
    &["additionalData", "repositoryName"],
    &["additionalData", "registryHost"],
    &["additionalData", "tags"],
    &["additionalData", "inventory"],
    &["additionalData", "snapshot"],
    &["additionalData", "engine"],
    &["additionalData", "artifactDetails"],
];

/// Where the documents are among the columns.
const PROPERTIES: usize = 11;
const COMPACT_TEXTS_MIN: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            kind: "microsoft.security/assessments/subassessments",
            tenant: Uuid::nil(),
            group: "g".into(),
            subscription: Uuid::nil(),
        }
    }

    fn row(number: u32, image: &str) -> NewRow {
        let name = Uuid::from_u128(u128::from(number));
        let document = serde_json::json!({
            "id": format!("/registry/{name}"), "name": name,
            "properties": {
                "status": { "code": "Unhealthy" }, "id": format!("CVE-{}", number % 7),
                "additionalData": { "imageDigest": image, "patchable": true, "snapshot": null },
                "timeGenerated": "2026",
            },
        });
        NewRow { document, place: place() }
    }

    fn key(number: u8) -> ImageKey {
        (1, oci::Digest::sha256(&[number]))
    }

    fn put(version: &mut Version, image: u8, rows: impl Iterator<Item = NewRow>) {
        let rows = rows.map(|row| version.row(row)).collect();
        version.put_image(key(image), 5, rows);
    }

    fn all(version: &Version) -> Vec<String> {
        let batches = version.batches(|_| &Images::All, |_| true, &[true; 17]);
        let mut rows = Vec::new();
        for batch in batches {
            for at in 0..batch.rows {
                let row = batch.row(at);
                rows.push(format!("{} {}", row[0].to_text(), row[PROPERTIES].to_json()));
            }
        }
        rows.sort();
        rows
    }

    #[test]
    fn rows_come_back_whole_and_texts_are_held_once() {
        let mut version = Version::default();
        put(&mut version, 1, (0..20).map(|number| row(number, "one")));
        put(&mut version, 2, (20..40).map(|number| row(number, "two")));
        version.settle();
        assert_eq!((version.rows(), version.own.texts.len(), version.shared.texts.len()), (40, 7, 2));
        let rows = all(&version);
        assert_eq!(rows.len(), 40);
        assert!(
            rows[21].contains(r#""snapshot":null"#) && rows[21].contains(r#""imageDigest":"two""#),
            "{}",
            rows[21]
        );
        let wanted: Json = row(3, "one").document["properties"].clone();
        let found: Json = serde_json::from_str(rows[3].split_once(' ').unwrap().1).unwrap();
        assert_eq!(found, wanted);
        let earlier = version.clone();
        version.remove_image(&key(1));
        version.settle();
        assert_eq!((all(&version).len(), all(&earlier).len()), (20, 40), "a version does not change");
        assert!(version.batches(|_| &Images::Nothing, |_| true, &[true; 17]).next().is_none());
        let count = |repositories: &[i64]| -> usize {
            let images = Images::In(repositories.iter().copied().collect());
            earlier.batches(|_| &images, |_| true, &[true; 17]).map(|batch| batch.rows).sum()
        };
        assert_eq!((count(&[key(1).0]), count(&[])), (40, 0), "two images of one repository");
    }

    #[test]
    fn texts_of_rows_that_are_gone_are_given_back() {
        let mut version = Version::default();
        for round in 0..3_u32 {
            let rows = (0..9000).map(|number| {
                let mut row = row(number, "one");
                row.document["properties"]["id"] = format!("CVE-{round}-{number}").into();
                row
            });
            put(&mut version, 1, rows);
            version.settle();
        }
        assert_eq!(version.rows(), 9000);
        assert!(version.own.texts.len() < 20_000, "{}", version.own.texts.len());
        assert_eq!(all(&version).len(), 9000);
    }

    proptest::proptest! {
        #![proptest_config(testkit::cases(256))]

        #[test]
        fn what_is_split_is_whole_when_laid_together(keys in proptest::collection::vec("[a-z]{1,3}|tags|engine", 0..6), value in 0..9) {
            let mut properties = serde_json::json!({ "additionalData": {}, "timeGenerated": value });
            for key in &keys {
                properties["additionalData"][key] = Json::from(value);
                properties[key] = serde_json::json!({ "x": value });
            }
            let mut own = properties.clone();
            let shared = split(&mut own);
            let layer = |json: &Json| Layer {
                codes: Arc::new(vec![0]),
                texts: Arc::new(Texts::new(vec![Arc::from(json.to_string())])),
            };
            let whole = Document::new(vec![layer(&own), layer(&shared)]).get(0);
            proptest::prop_assert_eq!(whole, Value::from_json(&properties));
        }
    }
}
