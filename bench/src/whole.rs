//! A deployment with every program, and developers who send to it over HTTP.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use harness::{Deployment, Engine, stderr_of};

use crate::encode::Body;
use crate::http::{BatchPost, HttpPool};
use crate::watch::StoreWatch;

/// Arguments of a collector under load: no limit on the rate, and all clients have one address.
pub const UNDER_LOAD: [&str; 4] = ["--rate", "0", "--address-share", "100"];

/// Collector, workers, streams, store; and a key for each of its developers.
pub struct WholePipe {
    pub deployment: Deployment,
    pub js: jetstream::Context,
    pub watch: StoreWatch,
    pool: HttpPool,
    keys: BTreeMap<String, String>,
}

/// What a reply was like.
pub struct ReadReply {
    pub took: Duration,
    /// The length of its body.
    pub bytes: usize,
}

impl WholePipe {
    /// Starts it. Its developers are `dev-0`, `dev-1` … as those of [`crate::workday::Workdays`].
    ///
    /// # Errors
    /// If keys cannot be made, or the database cannot be opened.
    pub async fn start(engine: Engine, developers: usize) -> anyhow::Result<Self> {
        let mut deployment = Deployment::start(engine).await;
        let keys = make_keys(&deployment, developers)?;
        // After the keys: a collector that starts knows all that there are.
        let url = deployment.collector_with("collector", &UNDER_LOAD).await;
        deployment.workers(1);
        Ok(Self {
            js: deployment.js().await,
            watch: StoreWatch::open(&deployment).await?,
            deployment,
            pool: HttpPool::new(&url),
            keys,
        })
    }

    /// Sends a batch and waits for the reply: that it is acknowledged, or with `wait` that it is stored.
    ///
    /// # Errors
    /// If the reply is another.
    pub async fn send(&self, body: &Body, wait: bool) -> anyhow::Result<()> {
        let request = BatchPost {
            key: &self.keys[&body.developer],
            body: &body.bytes,
            wait,
            expect: if wait { 200 } else { 202 },
        };
        self.pool.post(&request).await
    }
}

impl WholePipe {
    /// Gets a path as this developer.
    ///
    /// # Errors
    /// If the reply is no 200.
    pub async fn get(&self, path: &str, developer: &str) -> anyhow::Result<ReadReply> {
        let start = Instant::now();
        let bytes = self.pool.get(path, &self.keys[developer]).await?;
        Ok(ReadReply {
            took: start.elapsed(),
            bytes,
        })
    }

    /// Exports everything of this developer; gives how many events a second came.
    ///
    /// # Errors
    /// If the reply is no 200, or was cut off.
    pub async fn export(&self, developer: &str) -> anyhow::Result<f64> {
        let start = Instant::now();
        let key = &self.keys[developer];
        let (event, end) = (r#"{"kind":"event""#, r#"{"kind":"end""#);
        let events = self.pool.count_lines("/v1/export", key, event, end).await?;
        Ok(events as f64 / start.elapsed().as_secs_f64())
    }
}

fn make_keys(
    deployment: &Deployment,
    developers: usize,
) -> anyhow::Result<BTreeMap<String, String>> {
    let people = deployment.path("people");
    let names: String = (0..developers)
        .map(|number| format!("dev-{number}\n"))
        .collect();
    std::fs::write(&people, names)?;
    let people = people.display().to_string();
    let made = deployment.run("devtrail", &["keys", "create", "--from-file", &people]);
    ensure!(made.status.success(), "{}", stderr_of(&made));
    let lines = String::from_utf8(made.stdout)?;
    let pair = |line: &str| {
        let (developer, key) = line
            .split_once(' ')
            .context("a line of developer and key")?;
        Ok((developer.to_owned(), key.to_owned()))
    };
    lines.lines().map(pair).collect()
}
