//! Answers that are kept for the next page, so that pages fit together while rows come and go.

use std::collections::VecDeque;
use std::sync::Arc;

use auth::Caller;
use kql::Answer;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::request::{Asked, SkipToken};

#[derive(Default)]
pub(crate) struct Answers {
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    id: Uuid,
    /// With the roles that they had: whose rights change is answered anew.
    caller: Caller,
    asked: String,
    answer: Arc<Answer>,
    until_ms: i64,
}

impl Answers {
    /// The answer that the token goes on with, if it is still there and theirs.
    pub(crate) fn find(
        &self,
        token: &SkipToken,
        caller: &Caller,
        asked: &Asked,
        now_ms: i64,
    ) -> Option<Arc<Answer>> {
        let key = asked.key();
        let mut kept = self.kept.lock();
        kept.retain(|it| it.until_ms > now_ms);
        let found =
            kept.iter().find(|it| it.id == token.answer && it.caller == *caller && it.asked == key)?;
        Some(Arc::clone(&found.answer))
    }

    /// Keeps an answer for its next page; the text is that page's token.
    pub(crate) fn keep(
        &self,
        caller: &Caller,
        asked: &Asked,
        answer: &Arc<Answer>,
        skip: usize,
        before: Option<&SkipToken>,
        now_ms: i64,
    ) -> String {
        let top = asked.top().or(before.map(|token| token.top)).unwrap_or(1000);
        let mut kept = self.kept.lock();
        kept.retain(|it| it.until_ms > now_ms);
        let known = kept.iter_mut().find(|it| Arc::ptr_eq(&it.answer, answer) && it.caller == *caller);
        let id = if let Some(known) = known {
            known.until_ms = now_ms + KEPT_MS;
            known.id
        } else {
            let id = Uuid::new_v4();
            let (caller, answer) = (caller.clone(), Arc::clone(answer));
            kept.push_back(Kept { id, caller, asked: asked.key(), answer, until_ms: now_ms + KEPT_MS });
            while kept.len() > KEPT_MAX
                || kept.iter().map(|it| it.answer.size()).sum::<usize>() > KEPT_BYTES_MAX
            {
                let Some(place) = least_missed(&kept) else { break };
                kept.remove(place);
            }
            id
        };
        SkipToken { answer: id, skip, top }.text()
    }
}

/// The oldest answer of the caller whose answers take the most memory: nobody's pages end for another's.
fn least_missed(kept: &VecDeque<Kept>) -> Option<usize> {
    let bytes = |caller: Uuid| {
        kept.iter().filter(|it| it.caller.id == caller).map(|it| it.answer.size() + 1).sum::<usize>()
    };
    let largest = kept.iter().map(|it| (bytes(it.caller.id), it.caller.id)).max()?.1;
    kept.iter().position(|it| it.caller.id == largest)
}

const KEPT_MS: i64 = 600_000;
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 256 << 20;
