//! Who wants a change, and by what request.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Metastore;

/// Who wants a change, and by what request. Empty text: nobody in particular, or not by a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The principal's id.
    pub principal: String,
    /// The request's id, as its answer and the logs name it.
    pub request_id: String,
    /// The host and port by which the client knows us.
    pub host: String,
    /// HTTP's method.
    pub method: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// Where it calls from.
    pub address: String,
}

impl Metastore {
    /// The same store; what is changed through it is said to come from there.
    #[must_use]
    pub fn on_behalf_of(&self, origin: Origin) -> Self {
        let mut same = self.clone();
        same.origin = Arc::new(origin);
        same
    }
}
