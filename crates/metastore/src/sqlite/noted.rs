//! Triggers that note what is altered, for the audit log: of the writer's connection alone, while a notebook is open.
//!
//! SQLite fires no trigger for a row that `INSERT OR REPLACE` takes away: write `ON CONFLICT … DO UPDATE` instead.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use serde_json::Value;

use crate::Error;
use crate::alteration::{Alteration, Alterations, AlteredField, Fate, HIDDEN};
use crate::event::EventAction;

/// What is noted of the write that is under way; `None`: it is not asked for.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<Option<Alterations>>>);

impl Page {
    /// The triggers of the connection write here.
    pub(super) fn of(connection: &Connection) -> Result<Self, Error> {
        let page = Self::default();
        let (wanted, noting) = (page.clone(), page.clone());
        let flags = FunctionFlags::SQLITE_UTF8;
        connection.create_scalar_function("is_noting", 0, flags, move |_| Ok(wanted.0.lock().is_some()))?;
        connection.create_scalar_function("note", 5, flags, move |call| noting.note(call))?;
        for (place, watched) in WATCHED.iter().enumerate() {
            connection.execute_batch(&watched.triggers(place))?;
        }
        Ok(page)
    }

    /// Begins to note, or not.
    pub(super) fn begin(&self, is_wanted: bool) {
        *self.0.lock() = is_wanted.then(Alterations::default);
    }

    /// What was noted since.
    pub(super) fn taken(&self) -> Alterations {
        self.0.lock().take().unwrap_or_default()
    }

    fn note(&self, call: &Context<'_>) -> rusqlite::Result<bool> {
        let place: usize = call.get(0)?;
        let text = |at| Ok::<_, rusqlite::Error>(call.get::<Option<String>>(at)?.unwrap_or_default());
        let values = |at| Ok::<_, rusqlite::Error>(call.get::<Option<String>>(at)?.and_then(parsed));
        let Some(watched) = WATCHED.get(place) else { return Ok(false) };
        let (before, after) = (values(3)?, values(4)?);
        let fate = match (&before, &after) {
            (None, _) => Fate::Made,
            (_, None) => Fate::Removed,
            _ => Fate::Changed,
        };
        let fields = watched.altered(&before.unwrap_or_default(), &after.unwrap_or_default());
        if fate == Fate::Changed && fields.is_empty() {
            return Ok(false);
        }
        let alteration =
            Alteration { fate, kind: watched.kind.to_owned(), name: text(1)?, of: text(2)?, fields };
        if let Some(page) = self.0.lock().as_mut() {
            page.add(alteration);
        }
        Ok(true)
    }
}

/// The triggers' own arrays.
fn parsed(text: String) -> Option<Vec<Value>> {
    serde_json::from_str(&text).ok()
}

/// A table whose rows people alter. In its SQL `@.` stands for the row.
struct Watched {
    table: &'static str,
    kind: &'static str,
    name: &'static str,
    of: &'static str,
    fields: &'static [Field],
    /// Pushes make and change it: that it was taken away is noted alone.
    is_traffic: bool,
}

struct Field {
    name: &'static str,
    sql: &'static str,
    shown: fn(&Value) -> Option<String>,
}

impl Watched {
    fn triggers(&self, place: usize) -> String {
        let row = |sql: &str, row: &str| sql.replace("@.", &format!("{row}."));
        let values = |of: &str| {
            let values: Vec<String> = self.fields.iter().map(|field| row(field.sql, of)).collect();
            format!("json_array({})", values.join(", "))
        };
        let trigger = |event: &str, named: &str, before: &str, after: &str| {
            let Self { table, .. } = self;
            let (name, of) = (row(self.name, named), row(self.of, named));
            format!(
                "CREATE TEMP TRIGGER noted_{table}_{event} AFTER {event} ON main.{table} WHEN is_noting() BEGIN
                   SELECT note({place}, {name}, {of}, {before}, {after});
                 END;"
            )
        };
        let (old, new) = (values("old"), values("new"));
        let removed = trigger("DELETE", "old", &old, "NULL");
        if self.is_traffic {
            return removed;
        }
        trigger("INSERT", "new", "NULL", &new) + &trigger("UPDATE", "new", &old, &new) + &removed
    }

    fn altered(&self, before: &[Value], after: &[Value]) -> Vec<AlteredField> {
        let altered = |(at, field): (usize, &Field)| {
            let (before, after) =
                (before.get(at).unwrap_or(&Value::Null), after.get(at).unwrap_or(&Value::Null));
            let (name, is_same) = (field.name.to_owned(), before == after);
            let (before, after) = ((field.shown)(before), (field.shown)(after));
            (!is_same).then_some(AlteredField { name, before, after })
        };
        let altered = self.fields.iter().enumerate().filter_map(altered);
        altered.filter(|field| field.before.is_some() || field.after.is_some()).collect()
    }
}

/// A value as it is; an empty one is none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        other => Some(other.to_string()),
    }
}

fn flag(value: &Value) -> Option<String> {
    value.as_i64().map(|flag| (flag != 0).to_string())
}

fn secret(value: &Value) -> Option<String> {
    text(value).filter(|text| text != "{}").map(|_| HIDDEN.to_owned())
}

/// An address without what may be a secret in it: who asks, the path, the query.
fn address(value: &Value) -> Option<String> {
    let text = text(value)?;
    let Some((scheme, rest)) = text.split_once("://") else { return Some(text) };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = if path.len() > 1 { "/…" } else { path };
    Some(format!("{scheme}://{host}{path}"))
}

fn actions(value: &Value) -> Option<String> {
    let bits = value.as_i64()?;
    let wanted = EventAction::WANTED.into_iter().filter(|action| bits & action.bit() != 0);
    let names: Vec<&str> = wanted.map(EventAction::name).collect();
    Some(names.join(","))
}

/// What cannot be done to it any more.
fn locks(value: &Value) -> Option<String> {
    let allowed = crate::Attributes::from_locks(value.as_i64()?);
    let named = [
        ("delete", allowed.delete_enabled),
        ("write", allowed.write_enabled),
        ("list", allowed.list_enabled),
        ("read", allowed.read_enabled),
    ];
    let locked: Vec<&str> = named.into_iter().filter(|(_, allowed)| !allowed).map(|(name, _)| name).collect();
    (!locked.is_empty()).then(|| locked.join(","))
}

const fn field(name: &'static str, sql: &'static str, shown: fn(&Value) -> Option<String>) -> Field {
    Field { name, sql, shown }
}

const REGISTRY: &str = "(SELECT name FROM registry WHERE id = @.registry_id)";
/// A repository's registry.
const REGISTRY_OF: &str =
    "(SELECT registry.name FROM registry JOIN repository ON repository.registry_id = registry.id
                            WHERE repository.id = @.repository_id)";
const GROUP: &str = "@.subscription_id || '/' || @.resource_group";
const EXPIRES: Field =
    field("expires", "strftime('%Y-%m-%dT%H:%M:%SZ', @.expires_ms / 1000, 'unixepoch')", text);

/// Beside what follows from others, of what traffic alters (blobs, uploads, jobs, verdicts) nothing is noted.
const WATCHED: &[Watched] = &[
    Watched {
        table: "subscription",
        kind: "subscription",
        name: "@.display_name || ' (' || @.id || ')'",
        of: "''",
        fields: &[
            field("displayName", "@.display_name", text),
            field("isDisabled", "@.is_disabled", flag),
            field("tags", "@.tags", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "management_lock",
        kind: "lock",
        name: "@.name",
        of: "@.scope",
        fields: &[field("level", "@.level", text), field("notes", "@.notes", text)],
        is_traffic: false,
    },
    Watched {
        table: "plan",
        kind: "plan",
        name: "@.name",
        of: "@.subscription_id",
        fields: &[field("tier", "@.tier", text)],
        is_traffic: false,
    },
    Watched {
        table: "resource_group",
        kind: "resource group",
        name: "@.name",
        of: "@.subscription_id",
        fields: &[field("location", "@.location", text), field("tags", "@.tags", text)],
        is_traffic: false,
    },
    Watched {
        table: "registry",
        kind: "registry",
        name: "@.name",
        of: GROUP,
        fields: &[
            field("subscription", "@.subscription_id", text),
            field("resourceGroup", "@.resource_group", text),
            field("location", "@.location", text),
            field("sku", "@.sku", text),
            field("tags", "@.tags", text),
            field("isDeleted", "@.deleted_ms IS NOT NULL", flag),
            field("quarantine", "@.quarantine", flag),
            field("adminUser", "@.admin_enabled", flag),
            field("adminPassword", "@.admin_password", secret),
            field("adminPassword2", "@.admin_password2", secret),
            field("anonymousPull", "@.anonymous_pull", flag),
            field("softDelete", "@.soft_delete", flag),
            field("softDeleteDays", "@.soft_delete_days", text),
            field("quotaBytes", "@.quota_bytes", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "principal",
        kind: "principal",
        name: "@.name || ' (' || @.id || ')'",
        of: "''",
        fields: &[
            field("name", "@.name", text),
            field("kind", "@.kind", text),
            field(
                "owner",
                "coalesce((SELECT owner.name FROM principal AS owner WHERE owner.id = @.owner), @.owner)",
                text,
            ),
        ],
        is_traffic: false,
    },
    Watched {
        table: "principal_secret",
        kind: "secret of a principal",
        name: "@.name || ' (' || @.id || ')'",
        of: "coalesce((SELECT name FROM principal WHERE id = @.principal_id), @.principal_id)",
        fields: &[
            field("secret", "@.hash", secret),
            EXPIRES,
            field("keys", "@.keys", secret),
            field("issuer", "@.issuer", text),
            field("subject", "@.subject", text),
            field("audience", "@.audience", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "role_assignment",
        kind: "role assignment",
        name: "coalesce((SELECT name FROM principal WHERE id = @.principal_id) || ' ', '') || '(' || @.principal_id || ')'",
        of: "@.scope",
        fields: &[
            field("role", "@.role_id", text),
            field("scope", "@.scope", text),
            field("condition", "@.condition", text),
            field("description", "@.description", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "repository",
        kind: "repository",
        name: "@.name",
        of: REGISTRY,
        fields: &[field("locks", "@.locks", locks)],
        is_traffic: false,
    },
    Watched {
        table: "manifest",
        kind: "manifest",
        name: "coalesce((SELECT name FROM repository WHERE id = @.repository_id), '') || '@' || @.digest",
        of: REGISTRY_OF,
        fields: &[
            field("mediaType", "@.media_type", text),
            field("locks", "@.locks", locks),
            field("quarantine", "@.quarantine", text),
            field("quarantineDetails", "@.quarantine_details", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "tag",
        kind: "tag",
        name: "coalesce((SELECT name FROM repository WHERE id = @.repository_id), '') || ':' || @.name",
        of: REGISTRY_OF,
        fields: &[field("digest", "@.digest", text), field("locks", "@.locks", locks)],
        is_traffic: false,
    },
    Watched {
        table: "repository_blob",
        kind: "blob",
        name: "coalesce((SELECT name FROM repository WHERE id = @.repository_id), '') || '@' || @.digest",
        of: REGISTRY_OF,
        fields: &[],
        is_traffic: true,
    },
    Watched {
        table: "upload",
        kind: "upload",
        name: "@.id",
        of: "coalesce((SELECT name FROM repository WHERE id = @.repository_id), '')",
        fields: &[],
        is_traffic: true,
    },
    Watched {
        table: "deleted_manifest",
        kind: "deleted manifest",
        name: "@.repository || '@' || @.digest",
        of: REGISTRY,
        fields: &[],
        is_traffic: false,
    },
    Watched {
        table: "cluster",
        kind: "cluster",
        name: "@.name",
        of: "@.subscription_id",
        fields: &[field("policy", "@.policy", text), field("token", "@.token_hash", secret)],
        is_traffic: false,
    },
    Watched {
        table: "saved_query",
        kind: "saved query",
        name: "@.name",
        of: GROUP,
        fields: &[field("description", "@.description", text), field("query", "@.query", text)],
        is_traffic: false,
    },
    Watched {
        table: "retention_rule",
        kind: "retention rule",
        name: "@.name",
        of: REGISTRY,
        fields: &[
            field("repositories", "@.repositories", text),
            field("tags", "@.tags", text),
            field("keepNewest", "@.keep_newest", text),
            field("olderThanDays", "@.older_than_days", text),
            field("notPulledDays", "@.not_pulled_days", text),
            field("untaggedDays", "@.untagged_days", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "webhook",
        kind: "webhook",
        name: "@.name",
        of: REGISTRY,
        fields: &[
            field("location", "@.location", text),
            field("tags", "@.tags", text),
            field("serviceUri", "@.service_uri", address),
            field("customHeaders", "@.headers", secret),
            field("scope", "@.scope", text),
            field("actions", "@.actions", actions),
            field("form", "@.form", text),
            field("isEnabled", "@.is_enabled", flag),
            field("disabledBecause", "@.disabled_because", text),
            field("secret", "@.secret", secret),
        ],
        is_traffic: false,
    },
    Watched {
        table: "rule",
        kind: "rule",
        name: "@.name",
        of: "rtrim(@.subscription_id || '/' || @.resource_group || '/' || @.registry, '/')",
        fields: &[
            field("criteria", "@.criteria", text),
            field("reason", "@.reason", text),
            EXPIRES,
            field("isDetached", "@.is_detached", flag),
        ],
        is_traffic: false,
    },
    Watched {
        table: "gate",
        kind: "gate",
        name: "@.name",
        of: REGISTRY,
        fields: &[field("repositories", "@.repositories", text), field("policy", "@.policy", text)],
        is_traffic: false,
    },
    Watched {
        table: "gate_exemption",
        kind: "exemption from gates",
        name: "@.name",
        of: REGISTRY,
        fields: &[
            field("repositories", "@.repositories", text),
            field("tags", "@.tags", text),
            field("digest", "@.digest", text),
            field("advisory", "@.advisory", text),
            field("reason", "@.reason", text),
            EXPIRES,
        ],
        is_traffic: false,
    },
    Watched {
        table: "immutable_tags",
        kind: "immutable tags",
        name: "@.name",
        of: REGISTRY,
        fields: &[field("repositories", "@.repositories", text), field("tags", "@.tags", text)],
        is_traffic: false,
    },
    Watched {
        table: "scope_map",
        kind: "scope map",
        name: "@.name",
        of: REGISTRY,
        fields: &[field("description", "@.description", text), field("actions", "@.actions", text)],
        is_traffic: false,
    },
    Watched {
        table: "registry_token",
        kind: "token",
        name: "@.name",
        of: REGISTRY,
        fields: &[field("scopeMap", "@.scope_map", text), field("isEnabled", "@.is_enabled", flag)],
        is_traffic: false,
    },
    Watched {
        table: "registry_token_password",
        kind: "password of a token",
        name: "@.name",
        of: "(SELECT name FROM registry_token WHERE id = @.token_id)",
        fields: &[field("password", "@.secret_hash", secret), EXPIRES],
        is_traffic: false,
    },
    Watched {
        table: "upstream_credential",
        kind: "credential set",
        name: "@.name",
        of: REGISTRY,
        fields: &[
            field("host", "@.host", text),
            field("username", "@.username", text),
            field("secret", "@.secret", secret),
            field("realms", "@.realms", text),
        ],
        is_traffic: false,
    },
    Watched {
        table: "cache_rule",
        kind: "cache rule",
        name: "@.name",
        of: REGISTRY,
        fields: &[
            field("source", "@.source", text),
            field("target", "@.target", text),
            field("credential", "@.credential", text),
            field("mayBePrivate", "@.is_private", flag),
        ],
        is_traffic: false,
    },
    Watched {
        table: "feed",
        kind: "feed",
        name: "@.name",
        of: "''",
        fields: &[
            field("origin", "@.origin", address),
            field("records", "@.records", text),
            field("payload", "@.payload", text),
        ],
        is_traffic: false,
    },
];
