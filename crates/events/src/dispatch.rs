//! The dispatcher: takes what is due from the outbox, and writes down what came of it.
//!
//! Each webhook has a lane of its own, so that a dead receiver holds up nobody else. Within a lane the
//! oldest goes first; what failed goes behind. A delivery is waiting until its outcome is written, so a
//! crash sends it again: at least once, with the same id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metastore::{Attempt, AttemptOutcome, Delivery, DeliveryLimits, Error, EventAction, Metastore, Webhook};
use rand::RngExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::message::Message;
use crate::send::{NotSent, Sender};

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Sends what the outbox holds. Clones share it.
#[derive(Clone)]
pub struct Dispatcher {
    metastore: Metastore,
    sender: Sender,
    clock: Clock,
    base: Arc<str>,
    wake: Arc<Notify>,
}

/// What a webhook has under way.
#[derive(Default)]
struct Lane {
    deliveries: HashSet<i64>,
    /// Its last attempt failed: it gets one at a time.
    is_failing: bool,
}

/// An attempt that has ended.
struct Done {
    webhook: i64,
    delivery: i64,
    has_failed: bool,
}

impl Dispatcher {
    /// A dispatcher over the store's outbox. `base` is the URL by which this server is reached, for links.
    #[must_use]
    pub fn new(metastore: Metastore, sender: Sender, clock: Clock, base: &str) -> Self {
        Self { metastore, sender, clock, base: base.into(), wake: Arc::new(Notify::new()) }
    }

    /// Tells that something may be due. Without it that is found at the next look, within half a second.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends until `stop`; what is under way then may end within two seconds.
    pub async fn run(&self, stop: CancellationToken) {
        let mut lanes: HashMap<i64, Lane> = HashMap::new();
        let mut under_way = JoinSet::new();
        let mut tidy_due = tokio::time::Instant::now();
        while !stop.is_cancelled() {
            if tokio::time::Instant::now() >= tidy_due {
                tidy_due = tokio::time::Instant::now() + TIDY_EVERY;
                if let Err(error) = self.metastore.tidy_deliveries(LIMITS, (self.clock)()).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the log of deliveries could not be tidied"
                    );
                }
            }
            if let Err(error) = self.fill(&mut lanes, &mut under_way).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the outbox could not be read");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = under_way.join_next() => note(&mut lanes, ended),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let draining = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, draining).await.is_err() {
            tracing::info!("deliveries under way were broken off: they are sent again");
        }
    }

    /// Sends all that is due, one after the other, until nothing is. For tests and for commands.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn settle(&self) -> Result<(), Error> {
        loop {
            let due = self.metastore.due_deliveries((self.clock)(), LANE_MAX).await?;
            if due.is_empty() {
                return Ok(());
            }
            for (webhook, deliveries) in due {
                for delivery in deliveries {
                    self.deliver(&webhook, &delivery).await?;
                }
            }
        }
    }

    /// Begins what is due, as far as the lanes have room.
    async fn fill(&self, lanes: &mut HashMap<i64, Lane>, under_way: &mut JoinSet<Done>) -> Result<(), Error> {
        for (webhook, deliveries) in self.metastore.due_deliveries((self.clock)(), 2 * LANE_MAX).await? {
            let webhook = Arc::new(webhook);
            let lane = lanes.entry(webhook.id).or_default();
            for delivery in deliveries {
                let lane_max = if lane.is_failing { 1 } else { LANE_MAX };
                if lane.deliveries.len() >= lane_max || under_way.len() >= UNDER_WAY_MAX {
                    break;
                }
                if !lane.deliveries.insert(delivery.id) {
                    continue;
                }
                let (dispatcher, webhook) = (self.clone(), Arc::clone(&webhook));
                under_way.spawn(async move {
                    let has_failed = dispatcher.deliver(&webhook, &delivery).await.unwrap_or_else(|error| {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a delivery could not be written down"
                        );
                        true
                    });
                    Done { webhook: webhook.id, delivery: delivery.id, has_failed }
                });
            }
        }
        Ok(())
    }

    /// Sends one, and writes down what came of it; returns whether it failed.
    async fn deliver(&self, webhook: &Webhook, delivery: &Delivery) -> Result<bool, Error> {
        let message = Message::new(webhook, &delivery.event, &self.base, (self.clock)());
        let request = message.logged(webhook);
        let sent = self.sender.send(message).await;
        let now_ms = (self.clock)();
        let outcome = match sent.outcome {
            Ok(()) => AttemptOutcome::Delivered,
            Err(failure) => {
                let attempts = delivery.attempts + 1;
                let (webhook, reason) = (&webhook.name, &failure.reason);
                tracing::info!(webhook, event = %delivery.event.id, attempts, reason, "an event was not delivered");
                after(failure, delivery, now_ms)
            }
        };
        let has_failed = outcome != AttemptOutcome::Delivered;
        let attempt = Attempt { delivery: delivery.id, request, response: sent.answer, outcome, now_ms };
        self.metastore.record_attempt(attempt).await?;
        Ok(has_failed)
    }
}

fn note(lanes: &mut HashMap<i64, Lane>, ended: Result<Done, tokio::task::JoinError>) {
    match ended {
        Ok(done) => {
            let lane = lanes.entry(done.webhook).or_default();
            lane.deliveries.remove(&done.delivery);
            lane.is_failing = done.has_failed;
            if lane.deliveries.is_empty() && !lane.is_failing {
                lanes.remove(&done.webhook);
            }
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a delivery ended badly");
            // Which one is not known: better twice than never.
            lanes.clear();
        }
    }
}

/// What becomes of a delivery that failed.
fn after(failure: NotSent, delivery: &Delivery, now_ms: i64) -> AttemptOutcome {
    let NotSent { reason, retry_after, is_gone } = failure;
    if is_gone {
        return AttemptOutcome::Disable { reason };
    }
    // Whoever pings looks at what came of it.
    if delivery.event.action == EventAction::Ping {
        return AttemptOutcome::Dead { reason };
    }
    let asked_ms = retry_after.map_or(0, |after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
    let delay_ms = delay_ms(delivery.attempts + 1).max(asked_ms.min(DELAY_MAX_MS));
    if now_ms + delay_ms > delivery.created_ms + TRY_MS {
        return AttemptOutcome::Dead { reason };
    }
    AttemptOutcome::Retry { due_ms: now_ms + delay_ms, reason }
}

/// How long to wait after the `attempts`-th attempt: twice as long each time, and a quarter more or
/// less, so that those who failed together do not come back together.
fn delay_ms(attempts: u32) -> i64 {
    let doubled = DELAY_MIN_MS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(DELAY_MAX_MS);
    doubled * rand::rng().random_range(75..=125) / 100
}

const DELAY_MIN_MS: i64 = 5_000;
const DELAY_MAX_MS: i64 = 3_600_000;
/// A day: receivers that are mended the next morning miss nothing.
const TRY_MS: i64 = 24 * 3_600_000;

const LIMITS: DeliveryLimits = DeliveryLimits {
    log_max: 500,
    log_ms: 7 * 24 * 3_600_000,
    waiting_max: 100_000,
    // The last attempt may be under way.
    waiting_ms: TRY_MS + 3_600_000,
};

/// Of one webhook at once: a receiver that takes a second takes four events a second.
const LANE_MAX: usize = 4;
const UNDER_WAY_MAX: usize = 64;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for what is under way.
const DRAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_an_hour() {
        for (attempts, wanted_ms) in
            [(1, 5_000), (2, 10_000), (5, 80_000), (11, 3_600_000), (u32::MAX, 3_600_000)]
        {
            let delay_ms = delay_ms(attempts);
            assert!((wanted_ms * 3 / 4..=wanted_ms * 5 / 4).contains(&delay_ms), "{attempts}: {delay_ms}");
        }
    }
}
