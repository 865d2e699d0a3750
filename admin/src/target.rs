//! Which Devtrail a command talks to: flags and environment first, then the folder of `devtrail up`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, stream::Stream};
use bus::sync::SyncSettings;
use bus::{NatsAccess, NatsAddress, NatsLoginArgs};
use runtime::settings::Address;
use serde::{Deserialize, Serialize};
use store::{Postgres, Sqlite};
use workers::DatabaseUrl;

/// The folder of `devtrail up` unless another is named.
const USUAL_FOLDER: &str = "devtrail-data";

/// The folder of `devtrail up`, and the flags that override its addresses.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The folder of `devtrail up`: addresses and key are taken from there
    #[arg(
        long,
        env = "DEVTRAIL_DATA",
        default_value = USUAL_FOLDER,
        value_name = "DIR",
        help_heading = "Connection"
    )]
    pub data: PathBuf,
    /// Address of the nats-server [default: that of the folder, else nats://127.0.0.1:4222]
    #[arg(
        long,
        env = "DEVTRAIL_NATS_URL",
        value_name = "URL",
        help_heading = "Connection",
        value_parser = bus::NATS_ADDRESS
    )]
    nats_url: Option<NatsAddress>,
    #[command(flatten)]
    login: NatsLoginArgs,
    /// The database [default: that of the folder]
    #[arg(
        long,
        env = "DEVTRAIL_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Connection"
    )]
    database_url: Option<DatabaseUrl>,
}

/// Content of `DIR/addresses.json`. The file exists only while `devtrail up` runs.
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
    /// URL of the admin listener, with health and metrics, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
}

impl Addresses {
    /// The file that `up` on `data` writes its addresses to.
    #[must_use]
    pub fn path(data: &Path) -> PathBuf {
        data.join("addresses.json")
    }

    /// Reads them; `None` if no `devtrail up` runs on `data`.
    ///
    /// # Errors
    /// Returns an error if the file exists but cannot be read.
    pub fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is damaged. Stop the `devtrail up` on this folder and start it again, \
                         which writes a new file",
                    path.display()
                )
            })?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

impl Addresses {
    /// The nats-server's address.
    ///
    /// # Errors
    /// Returns an error if it is none.
    pub fn nats(&self) -> anyhow::Result<NatsAddress> {
        nats_address(&self.nats)
    }
}

fn nats_address(text: &str) -> anyhow::Result<NatsAddress> {
    NatsAddress::parse(text).map_err(anyhow::Error::msg)
}

impl Target {
    /// The nats-server's URL.
    ///
    /// # Errors
    /// Returns an error if the folder's addresses cannot be read.
    pub fn nats_url(&self) -> anyhow::Result<NatsAddress> {
        if let Some(url) = &self.nats_url {
            return Ok(url.clone());
        }
        match Addresses::read(&self.data)? {
            Some(addresses) => addresses.nats(),
            // The server of another folder may listen on the usual port: never mix two of them.
            None if self.data != Path::new(USUAL_FOLDER) || self.data.join("up.lock").exists() => {
                bail!(
                    "No `devtrail up` runs on {}. Start it, name its folder with --data, \
                     or name a nats-server with --nats-url.",
                    self.data.display()
                )
            }
            None => nats_address("nats://127.0.0.1:4222"),
        }
    }

    /// The nats-server, and how to log in.
    ///
    /// # Errors
    /// Returns an error if the folder's addresses cannot be read, or the login is given twice or by half.
    fn nats_access(&self) -> anyhow::Result<NatsAccess> {
        Ok(self.login.access(&self.nats_url()?)?)
    }

    /// A connection to NATS.
    ///
    /// # Errors
    /// Returns an error if no server answers, or it refuses the login.
    pub async fn connect(&self) -> anyhow::Result<jetstream::Context> {
        let client = bus::connect_once(&self.nats_access()?, "devtrail").await?;
        Ok(jetstream::new(client))
    }

    /// A connection to a server that syncs always; its monitor is the folder's if no flag names one.
    ///
    /// # Errors
    /// Returns an error if no server answers, or its configuration does not show that it syncs always.
    pub async fn connect_synced(&self, sync: &SyncSettings) -> anyhow::Result<jetstream::Context> {
        let mut sync = sync.clone();
        if sync.nats_monitor_url.is_empty() {
            let addresses = Addresses::read(&self.data)?;
            sync.nats_monitor_url
                .extend(addresses.map(|addresses| Address::new(addresses.monitor)));
        }
        let js = self.connect().await?;
        bus::sync::check(&js.client(), &self.nats_access()?, &sync).await?;
        Ok(js)
    }

    /// The collector's URL, `given` by flag or environment first.
    ///
    /// # Errors
    /// Returns an error if none is given and no `devtrail up` runs on the folder.
    pub fn collector_url(&self, given: Option<&Address>) -> anyhow::Result<Address> {
        if let Some(url) = given {
            return Ok(url.clone());
        }
        match Addresses::read(&self.data)? {
            Some(addresses) => Ok(Address::new(addresses.collector)),
            None => bail!(
                "No `devtrail up` runs on {}. Start it, name its folder with --data, or name a collector with --url.",
                self.data.display()
            ),
        }
    }

    /// The database to read.
    ///
    /// # Errors
    /// Returns an error if the folder's addresses cannot be read.
    pub fn database(&self) -> anyhow::Result<DatabaseUrl> {
        if let Some(given) = &self.database_url {
            return Ok(given.clone());
        }
        let recorded = Addresses::read(&self.data)?
            .map(|addresses| addresses.database)
            .unwrap_or_default();
        anyhow::ensure!(
            !recorded.contains("***"),
            "The `devtrail up` on {} uses {recorded}, whose password is not written down. Give the whole address \
             with --database-url or DEVTRAIL_DATABASE_URL.",
            self.data.display()
        );
        Ok(recorded
            .parse()
            .unwrap_or_else(|_| DatabaseUrl::Sqlite(self.data.join("devtrail.db"))))
    }

    /// The store, opened for reading; [`with_store`] makes use of it.
    ///
    /// # Errors
    /// Returns an error if the database does not exist or cannot be read.
    pub async fn store(&self) -> anyhow::Result<Opened> {
        match self.database()? {
            DatabaseUrl::Sqlite(path) if !path.exists() => bail!(
                "There is no database {}. Name the folder of `devtrail up` with --data, or the database with \
                 --database-url.",
                path.display()
            ),
            DatabaseUrl::Sqlite(path) => Ok(Opened::Sqlite(Sqlite::open_read_only(&path)?)),
            DatabaseUrl::Postgres(url) => {
                Ok(Opened::Postgres(Postgres::attach(&url, "devtrail").await?))
            }
        }
    }
}

/// Opens a stream.
///
/// # Errors
/// Returns an error if it is missing, or the server does not answer.
pub async fn open_stream(js: &jetstream::Context, name: &str) -> anyhow::Result<Stream> {
    js.get_stream(name)
        .await
        .with_context(|| format!("The stream {name} cannot be read"))
}

/// A store opened for reading, by engine.
pub enum Opened {
    /// A SQLite file.
    Sqlite(Sqlite),
    /// A Postgres database.
    Postgres(Postgres),
}

/// Evaluates an expression with the target's store, whatever its engine: the roles of the store are
/// no trait objects. This is the one place of the commands that knows the engines.
macro_rules! with_store {
    ($target:expr, |$store:ident| $body:expr) => {
        match $target.store().await? {
            $crate::target::Opened::Sqlite($store) => $body,
            $crate::target::Opened::Postgres($store) => $body,
        }
    };
}
pub(crate) use with_store;
