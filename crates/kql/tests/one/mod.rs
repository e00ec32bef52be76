//! Queries of one table, `t`.

use std::sync::Arc;

use kql::{Answer, Settings, Source, Table, run};

struct One(Arc<dyn Table>);

impl Source for One {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        (name == "t").then(|| Arc::clone(&self.0))
    }

    fn saved_query(&self, _: &str) -> Option<String> {
        None
    }
}

pub(crate) fn answer(query: &str, table: impl Table + 'static) -> Answer {
    let settings = Settings { now: 0, memory_bytes_max: 64 << 20, stop: &|| false };
    run(query, &One(Arc::new(table)), &settings).unwrap_or_else(|error| panic!("{query}: {error:?}"))
}
