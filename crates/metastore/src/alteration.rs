//! What a request or a command altered, row by row, for the audit log: values before and after, secrets never.
//!
//! Nobody has to say it: triggers of the writer's connection see the rows (`sqlite/noted.rs`), and whoever wants to
//! know opens a [`Notebook`] around the work.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// There was none.
    Made,
    /// It has other values.
    Changed,
    /// It is gone.
    Removed,
}

impl Fate {
    /// Of a thing that first this became of and then that, in one go; `None`: they are told one by one.
    fn of_both(first: Self, then: Self) -> Option<Self> {
        match (first, then) {
            (Self::Made, Self::Changed) => Some(Self::Made),
            (Self::Changed, Self::Changed) | (Self::Removed, Self::Made) => Some(Self::Changed),
            _ => None,
        }
    }
}

/// One thing that was made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    /// What became of it.
    pub fate: Fate,
    /// What kind of thing it is, such as `webhook`.
    pub kind: String,
    /// Its own name, such as a principal's beside its id.
    pub name: String,
    /// What it belongs to, such as a registry's name; empty: nothing.
    pub of: String,
    /// Its values that are not the same before and after.
    pub fields: Vec<AlteredField>,
}

/// One value, before and after. Of a secret neither is told: that it is another is said by [`HIDDEN`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlteredField {
    /// What it says of the thing, such as `scope`.
    pub name: String,
    /// `None`: nothing.
    pub before: Option<String>,
    /// `None`: nothing.
    pub after: Option<String>,
}

/// Some alterations, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alterations {
    /// In the order in which they came.
    pub listed: Vec<Alteration>,
    /// How many are not listed, because there were too many.
    pub left_out: u64,
}

impl Alterations {
    /// Nothing was altered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.left_out == 0
    }

    /// Adds one. What is made of one thing in one go is told as one: removed and made again, it was changed,
    /// except for a registry.
    pub fn add(&mut self, mut alteration: Alteration) {
        for field in &mut alteration.fields {
            for value in [&mut field.before, &mut field.after].into_iter().flatten() {
                clip(value, VALUE_LEN_MAX);
            }
        }
        clip(&mut alteration.name, NAME_LEN_MAX);
        clip(&mut alteration.of, NAME_LEN_MAX);
        let is_same = |known: &&mut Alteration| {
            let key = |it: &Alteration| (it.kind.clone(), it.name.clone(), it.of.clone());
            key(known) == key(&alteration)
        };
        // Made again, a registry is another one: nothing that the first one held comes back with it.
        let is_another = alteration.kind == "registry" && alteration.fate == Fate::Made;
        if !is_another
            && let Some(known) = self.listed.iter_mut().rev().find(is_same)
            && let Some(fate) = Fate::of_both(known.fate, alteration.fate)
        {
            known.follow(fate, alteration.fields);
            return;
        }
        let len = |listed: &[Alteration]| listed.iter().map(Alteration::len).sum::<usize>();
        if self.listed.len() < LISTED_MAX && len(&self.listed) + alteration.len() <= LISTED_LEN_MAX {
            self.listed.push(alteration);
        } else {
            self.left_out += 1;
        }
    }

    fn append(&mut self, others: Self) {
        others.listed.into_iter().for_each(|alteration| self.add(alteration));
        self.left_out += others.left_out;
    }
}

impl Alteration {
    /// What came of it next is told with it.
    fn follow(&mut self, fate: Fate, fields: Vec<AlteredField>) {
        self.fate = fate;
        for field in fields {
            match self.fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => known.after = field.after,
                None => self.fields.push(field),
            }
        }
        // What was cut or hidden may have been another.
        let is_told =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text != HIDDEN && !text.ends_with('…'));
        self.fields.retain(|it| it.before != it.after || it.before.is_some() && !is_told(&it.before));
    }

    fn len(&self) -> usize {
        let value = |value: &Option<String>| value.as_ref().map_or(0, String::len);
        let fields = self.fields.iter();
        let fields = fields.map(|field| field.name.len() + value(&field.before) + value(&field.after));
        self.kind.len() + self.name.len() + self.of.len() + fields.sum::<usize>()
    }
}

/// Cuts a text at a character's end, and says that it did.
fn clip(text: &mut String, len_max: usize) {
    if text.len() > len_max {
        text.truncate(text.floor_char_boundary(len_max));
        text.push('…');
    }
}

/// Where alterations are noted while some work is done. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Notebook(Arc<Mutex<Alterations>>);

impl Notebook {
    /// Does the work; what it writes to the store is noted here once it is committed.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        OPEN.scope(self.clone(), work).await
    }

    /// What has been noted so far; it is noted no more.
    #[must_use]
    pub fn taken(&self) -> Alterations {
        std::mem::take(&mut *self.0.lock())
    }

    /// The one that is open where this is called.
    pub(crate) fn open() -> Option<Self> {
        OPEN.try_with(Self::clone).ok()
    }

    pub(crate) fn note(&self, alterations: Alterations) {
        if !alterations.is_empty() {
            self.0.lock().append(alterations);
        }
    }
}

/// Notes what is no row, such as what is copied from where.
pub fn note(alteration: Alteration) {
    if let Some(notebook) = Notebook::open() {
        notebook.0.lock().add(alteration);
    }
}

/// The same work; if it is done by a task of its own, it is noted where this was called all the same.
pub fn noted<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let notebook = Notebook::open();
    async move {
        match notebook {
            Some(notebook) => notebook.during(work).await,
            None => work.await,
        }
    }
}

tokio::task_local! {
    static OPEN: Notebook;
}

/// What stands for a secret.
pub const HIDDEN: &str = "(hidden)";
const VALUE_LEN_MAX: usize = 300;
const NAME_LEN_MAX: usize = 300;
/// Bounds what one entry of the log takes.
const LISTED_MAX: usize = 50;
const LISTED_LEN_MAX: usize = 16 * 1024;
