//! The assessment on each registry: what its images' results come to.

use assessment::ImageState;
use auth::{Action, Caller};
use metastore::{Registry, StateCounts, Tier};
use serde_json::{Value, json};

use crate::arm::Scope;
use crate::error::ArmError;
use crate::rows::{KEY, time};
use crate::sub_assessments::check_key;
use crate::{Api, Call};

impl Api {
    /// One a registry that the caller may read.
    pub(crate) async fn assessments(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let mut rows = Vec::new();
        for registry in self.readable(caller, scope, Action::ReadAssessments).await? {
            rows.push(self.roll_up(&registry, call).await?);
        }
        Ok(json!({ "value": rows }))
    }

    pub(crate) async fn assessment(
        &self,
        caller: &Caller,
        scope: &Scope,
        key: &str,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.readable(caller, scope, Action::ReadAssessments).await?;
        check_key(key)?;
        // It is on the registry: of a subscription or group there is none.
        match registries.first().filter(|_| scope.registry.is_some()) {
            Some(registry) => self.roll_up(registry, call).await,
            None => {
                let message =
                    format!("The assessment '{key}' is on registries: name one, or list those of the scope.");
                Err(ArmError::not_found("ResourceNotFound", message))
            }
        }
    }

    async fn roll_up(&self, registry: &Registry, call: &Call) -> Result<Value, ArmError> {
        let counts = self.metastore.state_counts(registry.id).await?;
        let plans = self.metastore.plans(registry.subscription).await?;
        let is_on = plans.iter().any(|setting| setting.tier == Tier::Standard);
        let id = registry.resource_id();
        let mut row = json!({
            "type": "Microsoft.Security/assessments",
            "id": format!("{id}/providers/Microsoft.Security/assessments/{KEY}"),
            "name": KEY,
            "properties": {
                "resourceDetails": { "source": "Azure", "id": id },
                "displayName": DISPLAY_NAME,
                "status": status(&counts, is_on),
                // Azure's model has text only here.
                "additionalData": additional_data(&counts),
            },
        });
        if call.query.get("$expand").is_some_and(|expand| expand.to_ascii_lowercase().contains("metadata")) {
            row["properties"]["metadata"] = json!({
                "displayName": DISPLAY_NAME,
                "assessmentType": "BuiltIn",
                "description": DESCRIPTION,
                "remediationDescription": "Rebuild each unhealthy image with the fixed versions that its findings name.",
                "categories": ["Compute"],
                "severity": "High",
            });
        }
        Ok(row)
    }
}

fn status(counts: &StateCounts, is_on: bool) -> Value {
    let count = |state: ImageState| counts.judged.get(state.name()).copied().unwrap_or(0);
    let (code, cause, description) = if count(ImageState::Unhealthy) > 0 {
        (
            "Unhealthy",
            None,
            images(count(ImageState::Unhealthy), "has something to fix", "have something to fix"),
        )
    } else if count(ImageState::Healthy) > 0 {
        ("Healthy", None, images(count(ImageState::Healthy), "has nothing to fix", "have nothing to fix"))
    } else if !is_on {
        (
            "NotApplicable",
            Some("PlanOff"),
            "the container registries plan of the subscription is off".to_owned(),
        )
    } else if count(ImageState::Unverified) > 0 {
        let reason = images(count(ImageState::Unverified), "could not be judged", "could not be judged");
        ("NotApplicable", Some("Unverified"), reason)
    } else {
        ("NotApplicable", Some("NothingJudged"), "no image was judged yet".to_owned())
    };
    let mut status = json!({ "code": code, "description": description });
    if let Some(cause) = cause {
        status["cause"] = cause.into();
    }
    for (name, ms) in
        [("firstEvaluationDate", counts.first_judged_ms), ("statusChangeDate", counts.changed_ms)]
    {
        if let Some(ms) = ms {
            status[name] = time(ms).into();
        }
    }
    status
}

fn images(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 image {one}") } else { format!("{count} images {many}") }
}

fn additional_data(counts: &StateCounts) -> Value {
    let mut data = serde_json::Map::new();
    for (state, count) in &counts.judged {
        data.insert(format!("images{state}"), count.to_string().into());
    }
    data.insert("imagesPending".to_owned(), counts.unjudged.to_string().into());
    data.into()
}

const DISPLAY_NAME: &str =
    "Container registry images should have vulnerability findings resolved (powered by Lazaret)";
const DESCRIPTION: &str = "Lazaret judges every image of the registry by its distribution's own advisories and lists \
                           what is to be fixed in each.";
