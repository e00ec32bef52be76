//! Azure's documents: what we know, as the JSON that Azure's clients read.
//!
//! Pure. The REST door and the query door show the same documents; where Resource Graph writes a thing in
//! another way, a function of [`graph`] says so.

mod assessment;
mod cache;
mod event;
mod form;
pub mod graph;
mod pricing;
mod resource;
mod role;
mod rule;
mod software_update;
mod sub_assessment;
mod token;
mod webhook;

pub use assessment::{assessment, image_assessment, metadata, metadata_document};
pub use cache::{cache_rule, credential_set};
pub use event::{affected_link, cloud_event, webhook_payload};
pub use form::{Form, Names};
pub use pricing::{SCANNING, pricing, pricing_of_version};
pub use resource::{
    GROUP_NAME_RULE, REGISTRIES, UNTAGGED_DAYS, is_group_name, login_server, registry, registry_listed,
    resource_group, sku, tags,
};
pub use role::{assignment, definition, principal_type};
pub use rule::finding_rule;
pub use software_update::{SoftwareUpdate, software_updates};
pub use sub_assessment::Place;
pub use token::{new_passwords, registry_token, scope_map, system_scope_map};
pub use webhook::{WEBHOOKS, webhook, webhook_event, webhook_listed};

/// RFC 3339 with seven digits of a second, as Azure writes it.
#[must_use]
pub fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string()
}
