//! Rules that disable findings: a resource of our own, written as Azure writes its own.

use assessment::Criteria;
use auth::{Action, Caller};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use azure_documents::finding_rule;
use metastore::{PutRule, Rule, RuleScope, StoredRule};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Api;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::reach::Reach;

#[derive(Deserialize)]
struct Put {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    criteria: Criteria,
    reason: String,
    expires_on: Option<jiff::Timestamp>,
}

impl Api {
    /// The rules that hold somewhere in the reach: those made there, above it, and beneath it.
    pub(crate) async fn finding_rules(&self, caller: &Caller, reach: &Reach) -> Result<Value, ArmError> {
        let wanted = self.rule_scope(caller, reach, Action::ReadRules).await?.id();
        let rules = self.metastore.rules().await?;
        let is_in = |rule: &&StoredRule| {
            let at = rule.rule.scope.id();
            auth::covers(&at, &wanted) || auth::covers(&wanted, &at)
        };
        let rows: Vec<Value> = rules.iter().filter(is_in).map(finding_rule).collect();
        Ok(json!({ "value": rows }))
    }

    pub(crate) async fn finding_rule(
        &self,
        caller: &Caller,
        reach: &Reach,
        name: &str,
    ) -> Result<Value, ArmError> {
        let scope = self.rule_scope(caller, reach, Action::ReadRules).await?;
        self.stored_rule(scope, reach, name).await
    }

    /// Makes a rule or replaces it; it takes effect before the answer.
    pub(crate) async fn put_finding_rule(
        &self,
        caller: &Caller,
        reach: &Reach,
        name: &str,
        body: Body,
    ) -> Result<Response, ArmError> {
        let scope = self.rule_scope(caller, reach, Action::WriteRules).await?;
        let Put { properties } = read(body, &RULE).await?;
        let bad = |message: String| ArmError::bad("InvalidFindingRule", message);
        let criteria = properties.criteria.checked().map_err(|error| bad(format!("{error}.")))?;
        let now_ms = (self.clock)();
        let rule = Rule {
            scope: scope.clone(),
            name: name.to_owned(),
            criteria,
            reason: properties.reason,
            expires_ms: properties.expires_on.map(jiff::Timestamp::as_millisecond),
        };
        let rule = rule.checked(now_ms).map_err(|error| bad(format!("{error}.")))?;
        let status = match self.metastore.put_rule(rule, &caller.name, now_ms).await? {
            PutRule::Created => StatusCode::CREATED,
            PutRule::Updated => StatusCode::OK,
            PutRule::NoScope => {
                let message = format!("There is no '{}' to which the rule could apply.", scope.id());
                return Err(ArmError::not_found("ResourceNotFound", message));
            }
            PutRule::TooMany => {
                return Err(bad("There are as many rules as there may be: delete some.".to_owned()));
            }
        };
        let shown = self.stored_rule(scope.clone(), reach, name).await?;
        let disabled = &shown["properties"]["disabledFindings"];
        tracing::info!(rule = name, scope = scope.id(), %disabled, principal = %caller.id, "a rule was set");
        Ok((status, crate::json(shown)).into_response())
    }

    /// Removes a rule: what it disabled counts again before the answer.
    pub(crate) async fn delete_finding_rule(
        &self,
        caller: &Caller,
        reach: &Reach,
        name: &str,
    ) -> Result<Response, ArmError> {
        let scope = self.rule_scope(caller, reach, Action::DeleteRules).await?;
        let id = scope.id();
        if !self.metastore.delete_rule(scope, name, (self.clock)()).await? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        tracing::info!(rule = name, scope = id, principal = %caller.id, "a rule was deleted");
        Ok(StatusCode::OK.into_response())
    }

    /// The scope that a path names, if the caller may do `action` there.
    async fn rule_scope(
        &self,
        caller: &Caller,
        reach: &Reach,
        action: Action,
    ) -> Result<RuleScope, ArmError> {
        self.check_reach(caller, reach, action).await?;
        let scope = match reach {
            Reach::Everywhere(_) => RuleScope::default(),
            Reach::Within(scope) | Reach::Image(scope, _) => RuleScope {
                subscription: Some(scope.subscription),
                resource_group: scope.group.clone(),
                registry: scope.registry.clone(),
            },
        };
        if caller.may(action, &scope.id()) {
            Ok(scope)
        } else {
            Err(ArmError::forbidden(caller, action.name(), &reach.id()))
        }
    }

    async fn stored_rule(&self, scope: RuleScope, reach: &Reach, name: &str) -> Result<Value, ArmError> {
        let found = self.metastore.rule(scope, name).await?;
        found.as_ref().map(finding_rule).ok_or_else(|| {
            let message = format!("There is no rule '{name}' at '{}'.", reach.id());
            ArmError::not_found("ResourceNotFound", message)
        })
    }
}

/// A misspelled expiry must not be none.
const RULE: Kind = Kind {
    what: "rule",
    kept: &["properties.criteria", "properties.reason", "properties.expiresOn"],
    shown: &["properties.state", "properties.scope", "properties.disabledFindings"],
    fixed: &[],
};
