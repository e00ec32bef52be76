//! The schema's versions, applied in order, each in one transaction.

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;

/// Brings the database to the newest schema.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    // Immediate: of two programs that start at once, the second waits and then finds it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(Error::FromTheFuture { found, known });
    }
    for (version, sql) in (1_i64..).zip(MIGRATIONS).skip_while(|(version, _)| *version <= found) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Never edit one that was released: add the next.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_first.sql"),
    include_str!("../../migrations/0002_metered_by_month.sql"),
    include_str!("../../migrations/0003_cluster.sql"),
    include_str!("../../migrations/0004_change.sql"),
    include_str!("../../migrations/0005_saved_query.sql"),
    include_str!("../../migrations/0006_registries.sql"),
    include_str!("../../migrations/0007_locks.sql"),
    include_str!("../../migrations/0008_retention.sql"),
    include_str!("../../migrations/0009_events.sql"),
    include_str!("../../migrations/0010_rules.sql"),
    include_str!("../../migrations/0011_gate.sql"),
    include_str!("../../migrations/0012_immutable.sql"),
    include_str!("../../migrations/0013_audit.sql"),
    include_str!("../../migrations/0014_identities.sql"),
    include_str!("../../migrations/0015_cache.sql"),
    include_str!("../../migrations/0016_subscription.sql"),
    include_str!("../../migrations/0017_deleted.sql"),
    include_str!("../../migrations/0018_principal_secret.sql"),
];
