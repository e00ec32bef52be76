//! Tags by themselves (`Microsoft.Resources/tags/default`): those of subscriptions, groups and registries.

use std::collections::BTreeMap;

use auth::{Action, Caller};
use axum::body::Body;
use metastore::{NewRegistry, PutRegistry};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Api;
use crate::arm::Scope;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::registries::{no_such_group, no_such_registry, tags_of};

#[derive(Deserialize)]
struct Put {
    #[serde(default)]
    operation: Option<String>,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    tags: Option<Map<String, Value>>,
}

impl Api {
    pub(crate) async fn tags(&self, caller: &Caller, scope: &Scope) -> Result<Value, ArmError> {
        self.check_may(caller, scope, Action::ReadTags).await?;
        let (id, tags) = self.tags_at(scope).await?;
        Ok(document(&id, &tags))
    }

    /// `PUT`: these, in the place of those there are.
    pub(crate) async fn put_tags(
        &self,
        caller: &Caller,
        scope: &Scope,
        body: Body,
    ) -> Result<Value, ArmError> {
        self.check_may(caller, scope, Action::WriteTags).await?;
        let put: Put = read(body, &REPLACED).await?;
        let tags = put.properties.tags.unwrap_or_default();
        self.set_tags(caller, scope, tags).await
    }

    /// `PATCH`: adds them, puts them in the place of those there are, or takes them away.
    pub(crate) async fn patch_tags(
        &self,
        caller: &Caller,
        scope: &Scope,
        body: Body,
    ) -> Result<Value, ArmError> {
        self.check_may(caller, scope, Action::WriteTags).await?;
        let patch: Put = read(body, &PATCHED).await?;
        let _alone = self.merging_tags.lock().await;
        let (_, mut tags) = self.tags_at(scope).await?;
        let sent = patch.properties.tags.unwrap_or_default();
        // Names of tags are the same in any case; values are not.
        let is = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        match patch.operation.unwrap_or_default().to_ascii_lowercase().as_str() {
            "replace" => tags = sent,
            "merge" => {
                tags.retain(|name, _| !sent.keys().any(|new| is(new, name)));
                tags.extend(sent);
            }
            "delete" => tags.retain(|name, value| {
                !sent.iter().any(|(gone, of)| is(gone, name) && (of == value || of.as_str() == Some("")))
            }),
            _ => {
                let message = "The operation is Merge, Replace or Delete.";
                return Err(ArmError::bad("InvalidTagsOperation", message));
            }
        }
        self.set_tags(caller, scope, tags).await
    }

    pub(crate) async fn delete_tags(&self, caller: &Caller, scope: &Scope) -> Result<(), ArmError> {
        self.check_may(caller, scope, Action::DeleteTags).await?;
        self.set_tags(caller, scope, Map::new()).await.map(drop)
    }

    /// The names of the tags that the subscription, its groups and its registries have, each with its values.
    pub(crate) async fn tag_names(&self, caller: &Caller, subscription: Uuid) -> Result<Value, ArmError> {
        let scope = Scope { subscription, group: None, registry: None };
        self.check_may(caller, &scope, Action::ReadTags).await?;
        let mut texts: Vec<String> =
            self.metastore.subscription_tags().await?.remove(&subscription).into_iter().collect();
        texts.extend(self.metastore.resource_groups(subscription).await?.into_iter().map(|group| group.tags));
        let registries = self.metastore.registries().await?.into_iter();
        texts.extend(registries.filter(|found| found.subscription == subscription).map(|found| found.tags));
        let mut names: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (name, value) in texts.iter().flat_map(|text| parsed(text)) {
            let value = value.as_str().unwrap_or_default().to_owned();
            *names.entry(name).or_default().entry(value).or_default() += 1;
        }
        let count = |count: usize| json!({ "type": "Total", "value": count });
        let row = |(name, values): (&String, &BTreeMap<String, usize>)| {
            let id = format!("/subscriptions/{subscription}/tagNames/{name}");
            let value = |(value, times): (&String, &usize)| json!({ "id": format!("{id}/tagValues/{value}"), "tagValue": value, "count": count(*times) });
            json!({
                "id": id, "tagName": name, "count": count(values.values().sum()),
                "values": values.iter().map(value).collect::<Vec<_>>(),
            })
        };
        Ok(json!({ "value": names.iter().map(row).collect::<Vec<_>>() }))
    }

    /// The ARM id of what the scope names, and the tags there.
    async fn tags_at(&self, scope: &Scope) -> Result<(String, Map<String, Value>), ArmError> {
        let id = self.lockable(scope).await?;
        let text = if scope.registry.is_some() {
            let all = self.metastore.registries().await?;
            all.into_iter().find(|found| scope.holds(found)).ok_or_else(|| no_such_registry(scope))?.tags
        } else if scope.group.is_some() {
            self.group_of(scope).await?.ok_or_else(|| no_such_group(scope))?.tags
        } else {
            self.metastore.subscription_tags().await?.remove(&scope.subscription).unwrap_or_default()
        };
        Ok((id, parsed(&text)))
    }

    async fn set_tags(
        &self,
        caller: &Caller,
        scope: &Scope,
        tags: Map<String, Value>,
    ) -> Result<Value, ArmError> {
        let text = tags_of(&tags)?;
        let id = self.lockable(scope).await?;
        let is_set = match (&scope.group, &scope.registry) {
            (Some(group), Some(name)) => {
                let by = caller.id.to_string();
                let wanted = NewRegistry::new(scope.subscription, group.clone(), name.clone());
                let wanted = NewRegistry { tags: Some(text), by, ..wanted };
                let put = self.metastore.put_registry(wanted, (self.clock)()).await?;
                matches!(put, PutRegistry::Updated(_))
            }
            (Some(group), None) => {
                self.metastore.tag_resource_group(scope.subscription, group, text).await?.is_some()
            }
            _ => self.metastore.tag_subscription(scope.subscription, text).await?,
        };
        if !is_set {
            return Err(ArmError::not_found("ResourceNotFound", format!("There is no '{id}' any more.")));
        }
        tracing::info!(scope = id, by = %caller.id, "tags were set");
        Ok(document(&id, &tags))
    }
}

fn parsed(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn document(id: &str, tags: &Map<String, Value>) -> Value {
    json!({
        "id": format!("{id}/providers/Microsoft.Resources/tags/default"),
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": { "tags": tags },
    })
}

const REPLACED: Kind = Kind { what: "set of tags", kept: &["properties.tags"], shown: &[], fixed: &[] };
const PATCHED: Kind =
    Kind { what: "change of tags", kept: &["operation", "properties.tags"], shown: &[], fixed: &[] };
