//! The plans of a subscription (Azure: pricings), which decide whether its registries are scanned.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::usage::show_verdicts;
use crate::watched::Watched;
use crate::{Error, EventAction, Metastore};

/// A plan that covers container registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// *Container registries*: the one of old.
    ContainerRegistry,
    /// *Containers*: the newer one, which covers registries too.
    Containers,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Self; 2] = [Self::ContainerRegistry, Self::Containers];

    /// As Azure writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ContainerRegistry => "ContainerRegistry",
            Self::Containers => "Containers",
        }
    }

    /// The plan of that name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.name().eq_ignore_ascii_case(name))
    }
}

/// What a plan is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Off.
    Free,
    /// On.
    Standard,
}

impl Tier {
    /// As Azure writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Standard => "Standard",
        }
    }

    /// The tier of that name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Free, Self::Standard].into_iter().find(|tier| tier.name().eq_ignore_ascii_case(name))
    }
}

/// How a plan of a subscription is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSetting {
    /// Which plan.
    pub plan: Plan,
    /// Off, or on.
    pub tier: Tier,
    /// Since when; `None`: it never was touched.
    pub changed_ms: Option<i64>,
}

impl Metastore {
    /// Every plan of a subscription.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn plans(&self, subscription: Uuid) -> Result<[PlanSetting; 2], Error> {
        self.read(move |rows| {
            let mut settings = Plan::ALL.map(|plan| PlanSetting { plan, tier: Tier::Free, changed_ms: None });
            let mut statement =
                rows.prepare_cached("SELECT name, tier, changed_ms FROM plan WHERE subscription_id = ?1")?;
            let mut found = statement.query([subscription.to_string()])?;
            while let Some(row) = found.next()? {
                let (name, tier): (String, String) = (row.get(0)?, row.get(1)?);
                let damaged = || Error::Damaged { what: "plan" };
                let plan = Plan::from_name(&name).ok_or_else(damaged)?;
                let tier = Tier::from_name(&tier).ok_or_else(damaged)?;
                let changed_ms = Some(row.get(2)?);
                for setting in settings.iter_mut().filter(|setting| setting.plan == plan) {
                    *setting = PlanSetting { plan, tier, changed_ms };
                }
            }
            Ok(settings)
        })
        .await
    }

    /// Sets a plan of a subscription. If that turns scanning on, every image of the subscription is
    /// queued in the same transaction: an image that is there is an image that will be scanned. What the switch
    /// makes of images that have no verdict is told to webhooks. `false`: there is no such subscription.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn set_plan(
        &self,
        subscription: Uuid,
        plan: Plan,
        tier: Tier,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let origin = self.origin.clone();
        self.write(move |rows| {
            let id = subscription.to_string();
            if !rows.prepare_cached("SELECT 1 FROM subscription WHERE id = ?1")?.exists([&id])? {
                return Ok(false);
            }
            let was_on = is_on(rows, &id)?;
            let changes = was_on != (tier == Tier::Standard);
            let watched = if changes { unjudged(rows, &id)? } else { Vec::new() };
            put_plan(rows, subscription, plan, tier, now_ms)?;
            show_verdicts(rows, &id, now_ms)?;
            for image in watched {
                image.end(rows, &origin, now_ms)?;
            }
            if !was_on && is_on(rows, &id)? {
                rows.prepare_cached(
                    "INSERT INTO job (kind, key, state, due_ms)
                     SELECT DISTINCT 'scan', manifest.digest, 'ready', ?2 FROM manifest
                     JOIN repository ON repository.id = manifest.repository_id
                     JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL
                     WHERE registry.subscription_id = ?1 AND manifest.kind <> 'index'
                     ON CONFLICT (kind, key) DO UPDATE SET again = (state = 'running')",
                )?
                .execute(params![id, now_ms])?;
            }
            Ok(true)
        })
        .await
    }
}

/// The images of a subscription without a verdict of its own, which a plan makes pending or not applicable, as they are
/// thought of now, where webhooks want to know.
fn unjudged(rows: &Connection, subscription: &str) -> Result<Vec<Watched>, Error> {
    let sql = "SELECT DISTINCT manifest.digest FROM manifest
               JOIN repository ON repository.id = manifest.repository_id
               JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL
               WHERE registry.subscription_id = ?1 AND manifest.kind <> 'index'
                 AND NOT EXISTS (SELECT 1 FROM judged_in
                                 WHERE judged_in.registry_id = registry.id AND judged_in.image = manifest.digest)
                 AND EXISTS (SELECT 1 FROM webhook WHERE webhook.registry_id = registry.id AND is_enabled
                             AND actions & ?2 <> 0)";
    let mut statement = rows.prepare_cached(sql)?;
    let images = statement.query_map(params![subscription, EventAction::Verdict.bit()], |row| row.get(0))?;
    let images: Vec<String> = images.collect::<Result<_, _>>()?;
    images.iter().map(|image| Watched::begin(rows, image)).collect()
}

/// Writes a plan's tier; the time changes only with the tier.
pub(crate) fn put_plan(
    rows: &Connection,
    subscription: Uuid,
    plan: Plan,
    tier: Tier,
    now_ms: i64,
) -> Result<(), Error> {
    rows.prepare_cached(
        "INSERT INTO plan (subscription_id, name, tier, changed_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET tier = excluded.tier,
           changed_ms = iif(tier = excluded.tier, changed_ms, excluded.changed_ms)",
    )?
    .execute(params![subscription.to_string(), plan.name(), tier.name(), now_ms])?;
    Ok(())
}

pub(crate) fn is_on(rows: &Connection, subscription: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM plan WHERE subscription_id = ?1 AND tier = 'Standard'";
    Ok(rows.prepare_cached(sql)?.exists([subscription])?)
}
