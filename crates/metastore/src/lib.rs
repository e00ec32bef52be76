//! Rows: everything the house knows that is not the bytes of a blob.
//!
//! Each method is one whole use case and one transaction; no SQL passes this room's door. The
//! default backend is SQLite, in write-ahead mode and flushed at every commit: what a method has
//! answered survives the loss of power.
//!
//! Times are arguments, in milliseconds since 1970 (UTC).

mod alteration;
mod assessed;
mod attributes;
mod audit;
mod cache_rule;
mod catalog;
mod change;
mod cluster;
mod deleted;
mod delivery;
mod directory;
mod error;
mod event;
mod feed;
mod gate;
mod image;
mod immutable;
mod job;
mod management_lock;
mod manifest;
mod news;
mod origin;
mod plan;
mod principal;
mod principal_secret;
mod registries;
mod repository;
mod retention;
mod rule;
mod ruled;
mod saved_query;
mod scope_map;
mod sqlite;
mod subscription;
mod tenancy;
mod upload;
mod usage;
mod watched;
mod webhook;

pub use alteration::{Alteration, Alterations, AlteredField, Fate, HIDDEN, Notebook, note, noted};
pub use assessed::{ResultCursor, ResultPage, StateCounts};
pub use attributes::{Attributes, AttributesChange, DeleteError, Locked};
pub use audit::{AuditEntry, AuditFilter, AuditLimits};
pub use cache_rule::{ActiveRule, CacheRule, PutCacheRule, RemoveCredential, UpstreamCredential};
pub use catalog::{After, DeletedRepository, ManifestRow, Order, RepositoryRow, TagRow};
pub use change::{Changes, ImageKey};
pub use cluster::{Cluster, ReportedImage, RunningImage};
pub use deleted::{DeletedManifest, DeletedTag, Restore, RestoreError, SoftDelete};
pub use delivery::{Attempt, AttemptOutcome, Delivery, DeliveryLimits, DeliveryState};
pub use directory::{AddProgram, PrincipalKind};
pub use error::Error;
pub use event::{
    AdvisoryNews, AffectedImage, EXAMPLES_MAX, Event, EventAction, EventTarget, Judgement, VerdictChange,
};
pub use feed::{Feed, FeedPayload};
pub use gate::{JudgedImage, PulledManifest, Quarantine, QuarantineState};
pub use image::{ImageRow, ScanFailure, StoredVerdict, VerdictWrite};
pub use immutable::ImmutableTags;
pub use job::{Job, JobKind};
pub use management_lock::{Intent, LockLevel, ManagementLock};
pub use manifest::{ManifestKind, PutManifest, PutManifestError, Referrer, ReferrersPage, StoredManifest};
pub use origin::Origin;
pub use plan::{Plan, PlanSetting, Tier};
pub use principal::{AssignRole, KeepRole, Principal, RoleAssignment};
pub use principal_secret::{AddSecret, Issuer, PrincipalSecret, Proof, SECRETS_MAX};
pub use registries::{DeleteGroup, DeleteRegistry, NewRegistry, PutRegistry, RegistryRoom};
pub use repository::{BlobUse, LinkedBlob, UnlinkBlob};
pub use retention::{Pull, Removal, RetentionRule};
pub use rule::{
    InvalidRule, InvalidScope, PutRule, REASON_BYTES_MAX, Rule, RuleScope, RulesDocument, StoredRule,
};
pub use ruled::Ruled;
pub use saved_query::SavedQuery;
pub use scope_map::{DeleteScopeMap, PutToken, RegistryToken, ScopeMap, TokenChange, TokenPassword};
pub use sqlite::{Durability, Metastore, Reserve};
pub use subscription::{DeleteSubscription, Held};
pub use tenancy::{Registry, RegistryId, ResourceGroup, Subscription};
pub use upload::{OpenUpload, Upload};
pub use usage::MeteredImage;
pub use webhook::{EventForm, PutWebhook, WEBHOOKS_MAX, Webhook, WebhookChange};
