//! The rows of `securityresources`, in columns, kept up by what changes.
//!
//! What a finding says is the same in each image that has it, and what an image says is the same of each of
//! its findings: each text is held once, and a row is four codes and a name. A version never changes; a
//! query that began with one goes on with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kql::{Batch, Codes, Column, Dictionary, Document, Layer, Stem, Stemmed, Stems, Texts, Value};
use metastore::ImageKey;
use serde_json::Value as Json;
use uuid::Uuid;

/// Rows as they are at one time.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Up to which place in the log of changes this goes.
    pub(crate) upto: i64,
    /// Each image's rows.
    images: BTreeMap<ImageKey, Arc<Chunk>>,
    /// Rows of registries and subscriptions.
    others: Vec<Arc<Chunk>>,
    stems: InternedStems,
    places: Places,
    own: Interned,
    shared: Interned,
}

/// The rows of one thing, which whoever may read that thing may see.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) of: Of,
    rows: Box<[Row]>,
}

/// Whose rows they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// An image in this registry (its row number).
    Image(i64),
    /// This registry's assessments.
    Registry(i64),
    /// This subscription's plans.
    Subscription(Uuid),
}

#[derive(Clone, Debug)]
struct Row {
    /// What the name is, if it is a UUID; the id ends with it, too.
    tail: Uuid,
    /// What stands before that, in each; or the whole.
    id: u32,
    name: u32,
    place: u32,
    /// What is the row's own, and what it shares with others of its image.
    own: u32,
    shared: u32,
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
#[derive(Clone, Debug, Default)]
struct Words {
    codes: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Words {
    fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = Arc::from(text);
        self.codes.insert(Arc::clone(&text), code);
        self.texts.push(text);
        code
    }
}

/// JSON texts, each once, with what was looked up in them.
#[derive(Clone, Debug, Default)]
struct Interned {
    words: Words,
    texts: Arc<Texts>,
}

impl Interned {
    /// Hands the new texts on to where queries read them.
    fn settle(&mut self) {
        if let Some(new) = self.words.texts.get(self.texts.len()..)
            && !new.is_empty()
        {
            self.texts = Arc::new(self.texts.with(new.iter().cloned()));
        }
    }
}

/// How ids and names begin, each once, with what was decided of them.
#[derive(Clone, Debug, Default)]
struct InternedStems {
    codes: HashMap<Stem, u32>,
    all: Vec<Stem>,
    stems: Arc<Stems>,
}

impl InternedStems {
    fn code(&mut self, text: &str, has_tail: bool) -> u32 {
        let stem = Stem { text: Arc::from(text), has_tail };
        if let Some(code) = self.codes.get(&stem) {
            return *code;
        }
        let code = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.codes.insert(stem.clone(), code);
        self.all.push(stem);
        code
    }

    fn settle(&mut self) {
        if let Some(new) = self.all.get(self.stems.len()..)
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
    pub(crate) fn put_image(&mut self, key: ImageKey, registry: i64, rows: Vec<NewRow>) {
        let chunk = self.chunk(Of::Image(registry), rows);
        self.images.insert(key, Arc::new(chunk));
    }

    pub(crate) fn remove_image(&mut self, key: &ImageKey) {
        self.images.remove(key);
    }

    /// Puts the rows of registries and subscriptions in the place of all there were.
    pub(crate) fn put_others(&mut self, others: Vec<(Of, Vec<NewRow>)>) {
        self.others = others.into_iter().map(|(of, rows)| Arc::new(self.chunk(of, rows))).collect();
    }

    fn chunk(&mut self, of: Of, rows: Vec<NewRow>) -> Chunk {
        let rows = rows.into_iter().map(|row| self.row(row)).collect();
        Chunk { of, rows }
    }

    fn row(&mut self, mut row: NewRow) -> Row {
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
        let own = self.own.words.code(&own.to_string());
        let shared = self.shared.words.code(&shared.to_string());
        Row { tail, id, name, place, own, shared }
    }

    /// Makes what was put in readable, and gives back texts that no row has any more.
    pub(crate) fn settle(&mut self) {
        self.compact();
        self.own.settle();
        self.shared.settle();
        self.places.settle();
        self.stems.settle();
    }

    /// Once most texts are of rows that are gone, all are gathered anew.
    fn compact(&mut self) {
        let held = self.own.words.texts.len() + self.shared.words.texts.len();
        if held < COMPACT_TEXTS_MIN {
            return;
        }
        let mut own = vec![false; self.own.words.texts.len()];
        let mut shared = vec![false; self.shared.words.texts.len()];
        for row in self.chunks().flat_map(|chunk| chunk.rows.iter()) {
            own[row.own as usize] = true;
            shared[row.shared as usize] = true;
        }
        let live = own.iter().chain(&shared).filter(|is_live| **is_live).count();
        if live * 2 > held {
            return;
        }
        let mut fresh = Self { upto: self.upto, places: self.places.clone(), ..Self::default() };
        let mut moved = |chunk: &Arc<Chunk>| {
            let mut stem = |code: u32| {
                let stem = &self.stems.all[code as usize];
                fresh.stems.code(&stem.text, stem.has_tail)
            };
            let rows = chunk.rows.iter().map(|row| Row {
                id: stem(row.id),
                name: stem(row.name),
                own: fresh.own.words.code(&self.own.words.texts[row.own as usize]),
                shared: fresh.shared.words.code(&self.shared.words.texts[row.shared as usize]),
                ..row.clone()
            });
            Arc::new(Chunk { of: chunk.of.clone(), rows: rows.collect() })
        };
        let images = self.images.iter().map(|(key, chunk)| (key.clone(), moved(chunk))).collect();
        let others = self.others.iter().map(moved).collect();
        fresh.images = images;
        fresh.others = others;
        *self = fresh;
    }

    fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.images.values().chain(&self.others)
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.chunks().map(|chunk| chunk.rows.len()).sum()
    }

    /// About how many bytes of memory the rows take.
    #[must_use]
    pub fn size(&self) -> usize {
        let words = |words: &Words| words.texts.iter().map(|text| text.len() + 72).sum::<usize>();
        self.rows() * size_of::<Row>()
            + self.images.len() * 160
            + self.stems.all.iter().map(|stem| stem.text.len() + 96).sum::<usize>()
            + [&self.own.words, &self.shared.words].map(words).iter().sum::<usize>()
    }

    /// The rows of the things that may be seen, in batches.
    pub(crate) fn batches<'a>(
        &'a self,
        sees: impl Fn(&Of) -> bool + 'a,
        needed: &'a [bool],
    ) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let mut rows =
            self.chunks().filter(move |chunk| sees(&chunk.of)).flat_map(|chunk| chunk.rows.iter()).peekable();
        Box::new(std::iter::from_fn(move || {
            rows.peek()?;
            let batch: Vec<&Row> = rows.by_ref().take(BATCH_ROWS).collect();
            Some(self.batch(&batch, needed))
        }))
    }

    fn batch(&self, rows: &[&Row], needed: &[bool]) -> Batch {
        let codes = |code: fn(&Row) -> u32| -> Codes { Arc::new(rows.iter().map(|row| code(row)).collect()) };
        let is_needed = |column: usize| needed.get(column).copied().unwrap_or(true);
        let nothing = || Column::Const(Value::Null);
        let empty = || Column::Const(Value::text(""));
        let places = codes(|row| row.place);
        let place = |dictionary: fn(&PlaceColumns) -> &Arc<Dictionary>| match &self.places.columns {
            Some(columns) => {
                Column::Coded { codes: Arc::clone(&places), values: Arc::clone(dictionary(columns)) }
            }
            None => Column::Const(Value::Null),
        };
        let tails = if is_needed(ID) || is_needed(NAME) {
            Arc::new(rows.iter().map(|row| row.tail).collect())
        } else {
            Arc::default()
        };
        let stemmed = |column: usize, code: fn(&Row) -> u32| {
            if !is_needed(column) {
                return Column::Const(Value::Null);
            }
            let (stems, tails) = (Arc::clone(&self.stems.stems), Arc::clone(&tails));
            Column::Stemmed(Stemmed { codes: codes(code), stems, tails })
        };
        let properties = if is_needed(PROPERTIES) {
            let own = Layer { codes: codes(|row| row.own), texts: Arc::clone(&self.own.texts) };
            let shared = Layer { codes: codes(|row| row.shared), texts: Arc::clone(&self.shared.texts) };
            Column::Document(Document::new(vec![own, shared]))
        } else {
            nothing()
        };
        let columns = vec![
            stemmed(ID, |row| row.id),
            stemmed(NAME, |row| row.name),
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
        Batch { rows: rows.len(), columns }
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

const ID: usize = 0;
const NAME: usize = 1;
/// Where the documents are among the columns.
const PROPERTIES: usize = 11;
const BATCH_ROWS: usize = 8192;
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

    fn all(version: &Version) -> Vec<String> {
        let batches = version.batches(|_| true, &[true; 17]);
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
        version.put_image(key(1), 5, (0..20).map(|number| row(number, "one")).collect());
        version.put_image(key(2), 5, (20..40).map(|number| row(number, "two")).collect());
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
        assert!(version.batches(|of| *of == Of::Image(6), &[true; 17]).next().is_none());
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
            version.put_image(key(1), 5, rows.collect());
            version.settle();
        }
        assert_eq!(version.rows(), 9000);
        assert!(version.own.texts.len() < 20_000, "{}", version.own.texts.len());
        assert_eq!(all(&version).len(), 9000);
    }

    proptest::proptest! {
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
