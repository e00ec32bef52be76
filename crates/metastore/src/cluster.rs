//! Clusters: their admission policies, and what they said last that they run.

use oci::{Digest, Repository};
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use crate::tenancy::parse_uuid;
use crate::{Error, Metastore, RegistryId};

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name, unique whatever the case.
    pub name: String,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The SHA-256 of its token.
    pub token_hash: Digest,
    /// Its admission policy, as JSON: the cluster's door knows it.
    pub policy: String,
    /// When it last said what it runs.
    pub reported_ms: Option<i64>,
    /// How many digests it runs.
    pub running: u64,
}

/// One image of a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportedImage {
    /// Of an image or of an index.
    pub digest: Digest,
    /// The namespace it runs in.
    pub namespace: String,
    /// What runs it: `Deployment/web`.
    pub workload: String,
    /// In how many containers.
    pub containers: u32,
}

/// Where an image runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningImage {
    /// The cluster that says so.
    pub cluster: String,
    /// The namespace there.
    pub namespace: String,
    /// What runs it: `Deployment/web`.
    pub workload: String,
    /// In how many containers.
    pub containers: u32,
    /// When the cluster said so.
    pub reported_ms: i64,
}

impl Metastore {
    /// Adds a cluster; `false`: there is one of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn create_cluster(&self, cluster: Cluster, now_ms: i64) -> Result<bool, Error> {
        self.write(move |rows| {
            let made = rows.execute(
                "INSERT INTO cluster (name, subscription_id, token_hash, policy, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO NOTHING",
                params![
                    cluster.name,
                    cluster.subscription.to_string(),
                    cluster.token_hash.to_string(),
                    cluster.policy,
                    now_ms
                ],
            )?;
            Ok(made == 1)
        })
        .await
    }

    /// Changes a cluster's policy, its token, or both; `false`: there is none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn change_cluster(
        &self,
        name: &str,
        policy: Option<String>,
        token_hash: Option<Digest>,
    ) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let changed = rows.execute(
                "UPDATE cluster SET policy = coalesce(?2, policy), token_hash = coalesce(?3, token_hash)
                 WHERE name = ?1",
                params![name, policy, token_hash.map(|hash| hash.to_string())],
            )?;
            Ok(changed == 1)
        })
        .await
    }

    /// Removes a cluster with what it said; `false`: there is none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_cluster(&self, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| Ok(rows.execute("DELETE FROM cluster WHERE name = ?1", [name])? == 1)).await
    }

    /// Every cluster, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(&format!("{CLUSTERS} ORDER BY name"))?;
            let found = statement.query_map([], raw_cluster)?;
            found.map(|row| cluster(row?)).collect()
        })
        .await
    }

    /// The cluster of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn cluster(&self, name: &str) -> Result<Option<Cluster>, Error> {
        let name = name.to_owned();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(&format!("{CLUSTERS} WHERE name = ?1"))?;
            statement.query_row([name], raw_cluster).optional()?.map(cluster).transpose()
        })
        .await
    }

    /// Replaces what a cluster said before. `false`: there is none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn report_running(
        &self,
        cluster: &str,
        images: Vec<ReportedImage>,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let cluster = cluster.to_owned();
        self.grow(move |rows| {
            let known = rows
                .prepare_cached("UPDATE cluster SET reported_ms = ?2 WHERE name = ?1")?
                .execute(params![cluster, now_ms])?;
            if known == 0 {
                return Ok(false);
            }
            rows.prepare_cached("DELETE FROM running WHERE cluster = ?1")?.execute([&cluster])?;
            let mut insert = rows.prepare_cached(
                "INSERT INTO running (digest, cluster, namespace, workload, containers) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET containers = containers + excluded.containers",
            )?;
            for image in images {
                let digest = image.digest.to_string();
                insert.execute(params![digest, cluster, image.namespace, image.workload, image.containers])?;
            }
            Ok(true)
        })
        .await
    }

    /// Where an image runs, by its own digest or that of an index of its repository that holds it, in the
    /// clusters of the registry's subscription: `limit` places at most, in order.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn running(
        &self,
        registry: RegistryId,
        repository: &Repository,
        image: &Digest,
        limit: usize,
    ) -> Result<Vec<RunningImage>, Error> {
        let (repository, image) = (repository.to_string(), image.to_string());
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT running.cluster, namespace, workload, sum(containers), cluster.reported_ms FROM running
                 JOIN cluster ON cluster.name = running.cluster
                   AND cluster.subscription_id = (SELECT subscription_id FROM registry WHERE id = ?1)
                 WHERE digest = ?3 OR digest IN (
                   SELECT manifest_reference.manifest FROM manifest_reference
                   JOIN repository ON repository.id = manifest_reference.repository_id
                   WHERE repository.registry_id = ?1 AND repository.name = ?2 AND target = ?3)
                 GROUP BY running.cluster, namespace, workload
                 ORDER BY running.cluster, namespace, workload LIMIT ?4",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map(params![registry.0, repository, image, limit], |row| {
                Ok(RunningImage {
                    cluster: row.get(0)?,
                    namespace: row.get(1)?,
                    workload: row.get(2)?,
                    containers: row.get(3)?,
                    reported_ms: row.get(4)?,
                })
            })?;
            found.map(|row| Ok(row?)).collect()
        })
        .await
    }
}

type RawCluster = (String, String, String, String, Option<i64>, u64);

fn raw_cluster(row: &Row<'_>) -> rusqlite::Result<RawCluster> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn cluster(raw: RawCluster) -> Result<Cluster, Error> {
    let (name, subscription, token_hash, policy, reported_ms, running) = raw;
    let token_hash = token_hash.parse().map_err(|_| Error::Damaged { what: "token hash" })?;
    Ok(Cluster { name, subscription: parse_uuid(&subscription)?, token_hash, policy, reported_ms, running })
}

const CLUSTERS: &str = "SELECT name, subscription_id, token_hash, policy, reported_ms,
    (SELECT count(DISTINCT digest) FROM running WHERE running.cluster = cluster.name) FROM cluster";
