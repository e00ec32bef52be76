//! The schema's versions, applied in order, each in one transaction.

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;

/// Brings the database to the newest schema.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    migrate_to(connection, MIGRATIONS)
}

fn migrate_to(connection: &mut Connection, migrations: &[&str]) -> Result<(), Error> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    // Immediate: of two programs that start at once, the second waits and then finds it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(Error::FromTheFuture { found, known });
    }
    for (version, sql) in (1_i64..).zip(migrations).skip_while(|(version, _)| *version <= found) {
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
    include_str!("../../migrations/0019_quota.sql"),
    include_str!("../../migrations/0020_principal_key.sql"),
    include_str!("../../migrations/0021_group_tags.sql"),
    include_str!("../../migrations/0022_vex.sql"),
    include_str!("../../migrations/0023_advisory_news.sql"),
    include_str!("../../migrations/0024_judged_in.sql"),
    include_str!("../../migrations/0025_directory.sql"),
    include_str!("../../migrations/0026_audit_alterations.sql"),
    include_str!("../../migrations/0027_ended_subscription.sql"),
    include_str!("../../migrations/0028_management_lock.sql"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_keeps_its_form_and_what_waits_for_it() {
        let mut rows = Connection::open_in_memory().unwrap();
        rows.pragma_update(None, "foreign_keys", true).unwrap();
        migrate_to(&mut rows, &MIGRATIONS[..22]).unwrap();
        rows.execute_batch(
            "INSERT INTO subscription (id, display_name, created_ms) VALUES ('s', 's', 1);
             INSERT INTO resource_group (subscription_id, name, location) VALUES ('s', 'g', 'local');
             INSERT INTO registry (id, subscription_id, resource_group, name, location, created_ms)
             VALUES (1, 's', 'g', 'r', 'local', 1);
             INSERT INTO webhook (id, registry_id, name, location, tags, service_uri, headers, scope, actions, form,
                                  is_enabled, secret, created_ms)
             VALUES (7, 1, 'hook1', 'local', '{}', 'http://a', '{}', '', 1, 'cloudevents', 1, 's', 1);
             INSERT INTO delivery (webhook_id, event, state, created_ms, due_ms) VALUES (7, '{}', 'waiting', 1, 1);",
        )
        .unwrap();
        migrate(&mut rows).unwrap();
        let form = rows.query_row("SELECT form FROM webhook WHERE id = 7", [], |row| row.get::<_, String>(0));
        assert_eq!(form.unwrap(), "cloudevents");
        let waiting = rows.query_row("SELECT count(*) FROM delivery", [], |row| row.get::<_, i64>(0));
        assert_eq!(waiting.unwrap(), 1);
        rows.execute("UPDATE webhook SET form = 'slack'", []).unwrap();
        rows.execute("UPDATE webhook SET form = 'smoke'", []).unwrap_err();
    }

    #[test]
    fn each_principal_keeps_its_secret_and_gets_an_id_for_it() {
        let mut rows = Connection::open_in_memory().unwrap();
        migrate_to(&mut rows, &MIGRATIONS[..17]).unwrap();
        for (id, hash) in [("one", "hash 1"), ("two", "hash 2")] {
            let sql = "INSERT INTO principal (id, name, secret_hash, created_ms) VALUES (?1, ?1, ?2, 7)";
            rows.execute(sql, [id, hash]).unwrap();
        }
        migrate_to(&mut rows, &MIGRATIONS[..18]).unwrap();
        let sql = "SELECT id, principal_id, hash, created_ms, expires_ms FROM principal_secret ORDER BY principal_id";
        let mut statement = rows.prepare(sql).unwrap();
        let found = statement.query_map([], |row| {
            let id: String = row.get(0)?;
            let rest: (String, String, i64, Option<i64>) =
                (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((uuid::Uuid::parse_str(&id).unwrap().get_version_num(), rest))
        });
        let found: Vec<_> = found.unwrap().map(Result::unwrap).collect();
        let secret = |id: &str, hash: &str| (4, (id.to_owned(), hash.to_owned(), 7, None));
        assert_eq!(found, [secret("one", "hash 1"), secret("two", "hash 2")]);
        drop(statement);
        assert!(rows.prepare("SELECT secret_hash FROM principal").is_err(), "it is in one place");
        migrate(&mut rows).unwrap();
    }

    #[test]
    fn who_is_a_person_is_told_by_the_name_where_nobody_has_said() {
        let mut rows = Connection::open_in_memory().unwrap();
        migrate_to(&mut rows, &MIGRATIONS[..24]).unwrap();
        for name in ["admin", "ann@example.org", "ci"] {
            let sql = "INSERT INTO principal (id, name, created_ms) VALUES (?1, ?1, 7)";
            rows.execute(sql, [name]).unwrap();
        }
        migrate(&mut rows).unwrap();
        let mut statement = rows.prepare("SELECT kind FROM principal ORDER BY name").unwrap();
        let kinds = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let kinds: Vec<String> = kinds.map(Result::unwrap).collect();
        assert_eq!(kinds, ["person", "person", "program"]);
    }
}
