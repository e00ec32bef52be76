//! Deliveries: events that wait for their webhook, and what became of those that do not.

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use crate::webhook::{WEBHOOKS, parse as parse_webhook, raw as raw_webhook};
use crate::{Error, Event, Metastore, Webhook};

/// An event for a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its row number.
    pub id: i64,
    /// What happened.
    pub event: Event,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was queued.
    pub created_ms: i64,
    /// When it was last tried.
    pub tried_ms: Option<i64>,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// What was sent the last time, as its sender wrote it down; without secrets.
    pub request: Option<Value>,
    /// What came back the last time.
    pub response: Option<Value>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It will be tried, or tried again.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It will not be tried again.
    Dead,
}

impl DeliveryState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn from_name(name: &str) -> Result<Self, Error> {
        let all = [Self::Waiting, Self::Delivered, Self::Dead];
        all.into_iter().find(|state| state.name() == name).ok_or(Error::Damaged { what: "delivery state" })
    }
}

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The delivery's row number.
    pub delivery: i64,
    /// What was sent; without secrets.
    pub request: Value,
    /// What came back, if anything did.
    pub response: Option<Value>,
    /// What is to become of the delivery.
    pub outcome: AttemptOutcome,
    /// When.
    pub now_ms: i64,
}

/// What is to become of a delivery that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver has it.
    Delivered,
    /// It is tried again.
    Retry {
        /// When.
        due_ms: i64,
        /// Why this attempt failed.
        reason: String,
    },
    /// It is not tried again.
    Dead {
        /// Why.
        reason: String,
    },
    /// Nothing is sent to the webhook any more.
    Disable {
        /// Why.
        reason: String,
    },
}

/// How much of the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryLimits {
    /// Deliveries of a webhook that are over, at most.
    pub log_max: u32,
    /// They are kept this long.
    pub log_ms: i64,
    /// Deliveries of a webhook that wait, at most: the oldest beyond are dead.
    pub waiting_max: u32,
    /// What waits longer is dead: the webhook is disabled, or the server did not run.
    pub waiting_ms: i64,
}

impl Metastore {
    /// Up to `limit` deliveries of each webhook that are due, those first that are due longest.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn due_deliveries(
        &self,
        now_ms: i64,
        limit: usize,
    ) -> Result<Vec<(Webhook, Vec<Delivery>)>, Error> {
        self.read(move |rows| {
            // A ping is sent to a webhook that is disabled, too.
            let sql = format!(
                "{WEBHOOKS} WHERE EXISTS (SELECT 1 FROM delivery WHERE webhook_id = webhook.id
                                          AND state = 'waiting' AND due_ms <= ?1)"
            );
            let mut statement = rows.prepare_cached(&sql)?;
            let webhooks: Vec<Webhook> = statement
                .query_map([now_ms], raw_webhook)?
                .map(|row| parse_webhook(row?))
                .collect::<Result<_, Error>>()?;
            let mut due = Vec::with_capacity(webhooks.len());
            for webhook in webhooks {
                let sql = format!(
                    "{DELIVERIES} WHERE webhook_id = ?1 AND state = 'waiting' AND due_ms <= ?2
                       AND (?3 OR json_extract(event, '$.action') = 'ping')
                     ORDER BY due_ms, id LIMIT ?4"
                );
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let keys = params![webhook.id, now_ms, webhook.is_enabled, limit];
                let found = rows
                    .prepare_cached(&sql)?
                    .query_map(keys, raw)?
                    .map(|row| parse(row?))
                    .collect::<Result<Vec<_>, Error>>()?;
                if !found.is_empty() {
                    due.push((webhook, found));
                }
            }
            Ok(due)
        })
        .await
    }

    /// Writes down what an attempt came to. A delivery that went with its webhook meanwhile is skipped.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn record_attempt(&self, attempt: Attempt) -> Result<(), Error> {
        self.write(move |rows| {
            let Attempt { delivery, request, response, outcome, now_ms } = attempt;
            let (state, due_ms, reason) = match &outcome {
                AttemptOutcome::Delivered => (DeliveryState::Delivered, None, None),
                AttemptOutcome::Retry { due_ms, reason } => {
                    (DeliveryState::Waiting, Some(*due_ms), Some(reason.clone()))
                }
                AttemptOutcome::Dead { reason } | AttemptOutcome::Disable { reason } => {
                    (DeliveryState::Dead, None, Some(reason.clone()))
                }
            };
            let response = response.map(|response| response.to_string());
            rows.prepare_cached(
                "UPDATE delivery SET state = ?2, due_ms = coalesce(?3, due_ms), reason = ?4, attempts = attempts + 1,
                   tried_ms = ?5, request = ?6, response = ?7 WHERE id = ?1",
            )?
            .execute(params![delivery, state.name(), due_ms, reason, now_ms, request.to_string(), response])?;
            if let AttemptOutcome::Disable { reason } = outcome {
                let of = "(SELECT webhook_id FROM delivery WHERE id = ?1)";
                rows.execute(
                    &format!("UPDATE webhook SET is_enabled = 0, disabled_because = ?2 WHERE id = {of}"),
                    params![delivery, reason],
                )?;
                rows.execute(
                    &format!(
                        "UPDATE delivery SET state = 'dead', reason = ?2 WHERE state = 'waiting' AND webhook_id = {of}"
                    ),
                    params![delivery, reason],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// The newest deliveries of a webhook that were tried or are over, `limit` at most.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn deliveries(&self, webhook: i64, limit: usize) -> Result<Vec<Delivery>, Error> {
        self.read(move |rows| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let sql = format!(
                "{DELIVERIES} WHERE webhook_id = ?1 AND (attempts > 0 OR state <> 'waiting')
                 ORDER BY id DESC LIMIT ?2"
            );
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map(params![webhook, limit], raw)?;
            found.map(|row| parse(row?)).collect()
        })
        .await
    }

    /// How many deliveries of a webhook wait.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn waiting_deliveries(&self, webhook: i64) -> Result<u64, Error> {
        self.read(move |rows| {
            let sql = "SELECT count(*) FROM delivery WHERE webhook_id = ?1 AND state = 'waiting'";
            Ok(rows.prepare_cached(sql)?.query_row([webhook], |row| row.get(0))?)
        })
        .await
    }

    /// Gives up what waits for too long or beyond what may wait, and forgets the oldest of the log.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tidy_deliveries(&self, limits: DeliveryLimits, now_ms: i64) -> Result<(), Error> {
        self.write(move |rows| {
            let webhooks: Vec<i64> = rows
                .prepare_cached("SELECT id FROM webhook")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            webhooks.into_iter().try_for_each(|webhook| tidy(rows, webhook, limits, now_ms))
        })
        .await
    }
}

fn tidy(rows: &Connection, webhook: i64, limits: DeliveryLimits, now_ms: i64) -> Result<(), Error> {
    rows.prepare_cached(
        "UPDATE delivery SET state = 'dead', reason = coalesce(reason, 'it waited for too long')
         WHERE webhook_id = ?1 AND state = 'waiting' AND created_ms < ?2",
    )?
    .execute(params![webhook, now_ms - limits.waiting_ms])?;
    let nth = |state: &str| {
        format!(
            "(SELECT id FROM delivery WHERE webhook_id = ?1 AND state {state} ORDER BY id DESC LIMIT 1 OFFSET ?2)"
        )
    };
    rows.prepare_cached(&format!(
        "UPDATE delivery SET state = 'dead', reason = 'more than ' || ?2 || ' newer events wait'
         WHERE webhook_id = ?1 AND state = 'waiting' AND id <= {}",
        nth("= 'waiting'")
    ))?
    .execute(params![webhook, limits.waiting_max])?;
    rows.prepare_cached(&format!(
        "DELETE FROM delivery WHERE webhook_id = ?1 AND state <> 'waiting' AND (created_ms < ?3 OR id <= {})",
        nth("<> 'waiting'")
    ))?
    .execute(params![webhook, limits.log_max, now_ms - limits.log_ms])?;
    Ok(())
}

/// A delivery, with its event, state, request and response as they are stored.
type RawDelivery =
    (i64, String, String, u32, i64, Option<i64>, Option<String>, Option<String>, Option<String>);

fn raw(row: &Row<'_>) -> rusqlite::Result<RawDelivery> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
    ))
}

fn parse(raw: RawDelivery) -> Result<Delivery, Error> {
    let (id, event, state, attempts, created_ms, tried_ms, reason, request, response) = raw;
    let document = |text: Option<String>| {
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| Error::Damaged { what: "delivery" })
    };
    Ok(Delivery {
        id,
        event: serde_json::from_str(&event).map_err(|_| Error::Damaged { what: "event" })?,
        state: DeliveryState::from_name(&state)?,
        attempts,
        created_ms,
        tried_ms,
        reason,
        request: document(request)?,
        response: document(response)?,
    })
}

const DELIVERIES: &str =
    "SELECT id, event, state, attempts, created_ms, tried_ms, reason, request, response FROM delivery";
