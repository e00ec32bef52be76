//! What the tables must offer.

use std::sync::Arc;

use crate::column::Batch;
use crate::value::Type;

/// Lends tables to a query.
pub trait Source {
    /// The table of that name, in any case, with the rows that whoever asks may see.
    fn table(&self, name: &str) -> Option<Arc<dyn Table>>;

    /// The text of the saved query of that id, if whoever asks may read it.
    fn saved_query(&self, id: &str) -> Option<String>;
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Type,
    /// `==` does not tell upper from lower case.
    pub ignores_case: bool,
}

/// Rows, in batches.
pub trait Table: Send + Sync {
    /// The columns, in order.
    fn columns(&self) -> &[TableColumn];

    /// The rows. A column that is not needed may be null throughout.
    fn batches<'a>(&'a self, needed: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a>;
}
