//! Which Devtrail a command talks to: flags and environment first, then the folder of `devtrail up`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use async_nats::jetstream;
use common::bus;
use serde::{Deserialize, Serialize};
use workers::DatabaseUrl;

/// Where the folder of `devtrail up` is, and what goes before its addresses.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The folder of `devtrail up`: addresses and key are taken from there
    #[arg(long, env = "DEVTRAIL_DATA", default_value = "devtrail-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Address of the nats-server [default: that of the folder, else nats://127.0.0.1:4222]
    #[arg(long, env = "DEVTRAIL_NATS_URL", value_name = "URL", value_parser = common::process::parse_nats_url)]
    nats_url: Option<String>,
    /// The database [default: that of the folder]
    #[arg(long, env = "DEVTRAIL_DATABASE_URL", value_name = "URL")]
    database_url: Option<DatabaseUrl>,
}

/// What `DIR/addresses.json` says. Only there while `devtrail up` runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Addresses {
    /// The collector's URL.
    pub collector: String,
    /// The nats-server's URL.
    pub nats: String,
    /// The nats-server's monitor.
    #[serde(default)]
    pub monitor: String,
    /// The database's URL.
    #[serde(default)]
    pub database: String,
}

impl Addresses {
    /// Where `up` on `data` writes its addresses.
    #[must_use]
    pub fn path(data: &Path) -> PathBuf {
        data.join("addresses.json")
    }

    /// Reads them; `None` where no `devtrail up` runs on `data`.
    ///
    /// # Errors
    /// Where the file is there but cannot be read.
    pub fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

impl Target {
    /// The nats-server's URL.
    ///
    /// # Errors
    /// Where the folder's addresses cannot be read.
    pub fn nats_url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.nats_url {
            return Ok(url.clone());
        }
        match Addresses::read(&self.data)? {
            Some(addresses) => Ok(addresses.nats),
            // The server of another folder may listen on the usual port: never mix two of them.
            None if self.data.join("up.lock").exists() => bail!(
                "No `devtrail up` runs on {}. Start it, or name a nats-server with --nats-url.",
                self.data.display()
            ),
            None => Ok("nats://127.0.0.1:4222".to_owned()),
        }
    }

    /// A connection to NATS.
    ///
    /// # Errors
    /// Where no server answers.
    pub async fn connect(&self) -> anyhow::Result<(async_nats::Client, jetstream::Context)> {
        let client = bus::connect_once(&self.nats_url()?, "devtrail").await?;
        Ok((client.clone(), jetstream::new(client)))
    }

    /// The collector's URL, `given` by flag or environment first.
    ///
    /// # Errors
    /// Where nothing names one.
    pub fn collector_url(&self, given: Option<&str>) -> anyhow::Result<String> {
        if let Some(url) = given {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        match Addresses::read(&self.data)? {
            Some(addresses) => Ok(addresses.collector),
            None => bail!(
                "No `devtrail up` runs on {}. Start it, name its folder with --data, or name a collector with --url.",
                self.data.display()
            ),
        }
    }

    /// The SQLite file to read.
    ///
    /// # Errors
    /// Where the folder's addresses cannot be read.
    pub fn database(&self) -> anyhow::Result<PathBuf> {
        let recorded = Addresses::read(&self.data)?.and_then(|addresses| addresses.database.parse().ok());
        match self.database_url.clone().or(recorded) {
            Some(DatabaseUrl::Sqlite(path)) => Ok(path),
            None => Ok(self.data.join("devtrail.db")),
        }
    }
}
