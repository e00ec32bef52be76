//! The assessment on each registry: what its images' results come to.

use auth::{Action, Caller};
use azure_documents::Form;
use metastore::{Registry, Tier};
use serde_json::{Value, json};

use crate::arm::Scope;
use crate::error::ArmError;
use crate::sub_assessments::check_key;
use crate::{Api, Call};

impl Api {
    /// One a form and registry that the caller may read.
    pub(crate) async fn assessments(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let mut rows = Vec::new();
        for registry in self.readable(caller, scope, Action::ReadAssessments).await? {
            for form in Form::ON_REGISTRIES {
                rows.push(self.roll_up(&registry, form, call).await?);
            }
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
        let form = check_key(key)?;
        // It is on the registry: of a subscription or group there is none.
        match registries.first().filter(|_| scope.registry.is_some()) {
            Some(registry) => self.roll_up(registry, form, call).await,
            None => {
                let message =
                    format!("The assessment '{key}' is on registries: name one, or list those of the scope.");
                Err(ArmError::not_found("ResourceNotFound", message))
            }
        }
    }

    async fn roll_up(&self, registry: &Registry, form: Form, call: &Call) -> Result<Value, ArmError> {
        let counts = self.metastore.state_counts(registry.id).await?;
        let plans = self.metastore.plans(registry.subscription).await?;
        let is_on = plans.iter().any(|setting| setting.tier == Tier::Standard);
        let mut row = azure_documents::assessment(registry, &counts, is_on, form, self.names);
        if call.query.get("$expand").is_some_and(|expand| expand.to_ascii_lowercase().contains("metadata")) {
            row["properties"]["metadata"] = azure_documents::metadata(form, self.names);
        }
        Ok(row)
    }
}
