//! What a collector tells of the store: `Prefer: wait`, batches, days, notes of resends.
//!
//! The nats-server and the collector are real. The workers' side is a peer in the test, on the real
//! subjects, so that it can be slow, silent or wrong.

mod nats;
mod reading;
mod resends;
mod waiting;

use std::time::{Duration, Instant};

use async_nats::{Client, jetstream};
use bus::{NatsSettings, sync::SyncSettings, topology};
use collector::{ClientSettings, CollectorSettings, OverloadSettings, RequestLimits};
use futures_util::StreamExt;
use http_server::admin_listener::AdminListenSettings;
use nats::Nats;
use runtime::breaker::BreakerSettings;
use runtime::retry::RetryPolicy;
use runtime::schema_folder::SchemaSettings;
use runtime::settings::Address;
use runtime::{
    process::{Actor, Process},
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use types::api_key::{self, ApiKeyRecord, Scope};
use types::query::QUEUE;

/// A collector on a nats-server of its own, and who talks to them.
struct Bench {
    client: Client,
    js: jetstream::Context,
    http: reqwest::Client,
    url: String,
    key: String,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    _nats: Nats,
}

/// A reply, taken apart.
struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Reply {
    async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Self {
            status,
            headers,
            body: response.json().await.expect("a body is JSON"),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header is text"))
    }

    /// Status, code, and whether it says when to try again.
    fn problem(&self) -> (u16, &str, bool) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.body
        );
        let retry = self.body["retryable"] == true;
        assert_eq!(self.header("retry-after").is_some(), retry, "{}", self.body);
        (
            self.status,
            self.body["code"].as_str().expect("a code"),
            retry,
        )
    }
}

impl Bench {
    async fn start() -> Self {
        runtime::process::install_tls();
        let nats = Nats::start().await;
        let client = async_nats::connect(nats.address("nats"))
            .await
            .expect("a connection");
        let js = jetstream::new(client.clone());
        make_streams(&js).await;
        let shutdown = Shutdown::manual(Duration::from_secs(10));
        let settings = settings(&nats);
        let listener = collector::listen(&settings.listen)
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let process = Process::new(Actor::new("collector-under-test"), shutdown.clone());
        let running = tokio::spawn(collector::run(settings, listener, process));
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        let mut bench = Self {
            client,
            js,
            http,
            url,
            key: String::new(),
            shutdown,
            running,
            _nats: nats,
        };
        bench.key = bench.make_key("ada", &Scope::ALL).await;
        while bench.get("/health/ready").await.status != 200
            || bench.get("/v1/batches/x").await.status == 401
        {
            tokio::task::yield_now().await;
        }
        bench
    }

    async fn make_key(&self, developer: &str, scopes: &[Scope]) -> String {
        let made = api_key::generate();
        let record = ApiKeyRecord {
            developer: developer.parse().expect("a developer id"),
            scopes: scopes.to_vec(),
            rate: None,
            created_at: String::new(),
        };
        let bucket = self
            .js
            .get_key_value(api_key::BUCKET)
            .await
            .expect("the bucket");
        let entry = api_key::key_entry(&api_key::digest(&made));
        let record = serde_json::to_vec(&record).expect("a record is JSON");
        bucket
            .put(entry, record.into())
            .await
            .expect("the key is taken");
        made
    }

    async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &self.key).await
    }

    async fn get_with(&self, path: &str, key: &str) -> Reply {
        let request = self
            .http
            .get(format!("{}{path}", self.url))
            .bearer_auth(key);
        Reply::of(request.send().await.expect("a reply")).await
    }

    /// Posts a batch with one event; `prefer` is the header of that name.
    fn post(&self, batch_id: &str, prefer: Option<&str>) -> reqwest::RequestBuilder {
        let event = json!({"id": format!("{batch_id}-e1"), "type": "file.saved",
            "occurred_at": "2026-03-01T09:14:58+01:00", "data": {"path": "src/main.rs"}});
        let body = json!({"batch_id": batch_id, "sent_at": "2026-03-01T09:15:02+01:00",
            "schema_version": "1.0", "events": [event]});
        let request = self
            .http
            .post(format!("{}/v1/events", self.url))
            .bearer_auth(&self.key)
            .json(&body);
        prefer
            .into_iter()
            .fold(request, |request, prefer| request.header("Prefer", prefer))
    }

    async fn send(&self, batch_id: &str, prefer: Option<&str>) -> Reply {
        Reply::of(self.post(batch_id, prefer).send().await.expect("a reply")).await
    }

    /// Answers questions on `subject` as a worker would; each question is passed on as well.
    async fn answer(
        &self,
        subject: &'static str,
        mut answer: impl FnMut(&Value) -> Value + Send + 'static,
    ) -> UnboundedReceiver<(Instant, Value)> {
        let mut questions = self
            .client
            .queue_subscribe(subject, QUEUE.to_owned())
            .await
            .expect("a subscription");
        self.round_trip().await;
        let (sender, asked) = unbounded_channel();
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Some(message) = questions.next().await {
                let question: Value =
                    serde_json::from_slice(&message.payload).expect("a question is JSON");
                let reply = serde_json::to_vec(&answer(&question)).expect("an answer is JSON");
                if let Some(inbox) = message.reply {
                    client
                        .publish(inbox, reply.into())
                        .await
                        .expect("it is sent");
                }
                // The test may look at no questions at all.
                let _ = sender.send((Instant::now(), question));
            }
        });
        asked
    }

    /// Messages on `subject`, from now on.
    async fn listen(&self, subject: &str) -> async_nats::Subscriber {
        let messages = self
            .client
            .subscribe(subject.to_owned())
            .await
            .expect("a subscription");
        self.round_trip().await;
        messages
    }

    /// Afterwards the server has done what was sent to it before: it answers in order.
    async fn round_trip(&self) {
        let nobody = self
            .client
            .request("nobody.listens", "".into())
            .await
            .expect_err("nobody listens");
        assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
    }

    async fn end(self) {
        self.shutdown.begin();
        self.running
            .await
            .expect("no panic")
            .expect("it stops in order");
    }
}

/// EVENTS and the buckets that a collector reads, as they are declared but small.
async fn make_streams(js: &jetstream::Context) {
    let mut declared = topology::declared(types::event_streams::EventStreams::ONE);
    declared.retain(|name, _| {
        let needed = ["EVENTS", "KV_api_keys", "KV_settings"];
        name.consumer.is_none() && needed.contains(&name.stream.as_str())
    });
    assert_eq!(declared.len(), 3);
    for config in declared.values_mut() {
        config.insert("max_bytes".to_owned(), (64 << 20).into());
    }
    let live = topology::live(js, &declared)
        .await
        .expect("the server answers");
    topology::apply(js, &topology::plan(&declared, &live))
        .await
        .expect("streams are made");
}

fn settings(nats: &Nats) -> CollectorSettings {
    CollectorSettings {
        clients: ClientSettings::default(),
        admin: AdminListenSettings::default(),
        listen: "127.0.0.1:0".to_owned(),
        nats: NatsSettings {
            nats_url: bus::NatsAddress::parse(&nats.address("nats")).expect("an address"),
            login: bus::NatsLoginArgs::default(),
        },
        sync: SyncSettings {
            nats_monitor_url: vec![Address::new(nats.address("monitoring"))],
            allow_unsafe_sync: false,
        },
        limits: RequestLimits {
            max_events: 1000,
            rate: 0,
            max_body: 1 << 22,
            max_ratio: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            alert_keep_alive: Duration::from_secs(15),
            overload: OverloadSettings::DEFAULT,
        },
        retry: RetryPolicy::DEFAULT,
        breakers: BreakerSettings::DEFAULT,
        schemas: SchemaSettings::default(),
    }
}

/// A stored batch as workers tell it.
fn stored(seq: u64, duplicate_batch: bool) -> Value {
    let exception = json!({"index": 0, "id": "e1", "verdict": "duplicate", "code": "duplicate_id",
        "original": {"src": 1, "seq": 1, "ordinal": 0, "batch_id": "b0", "received_at": "2026-03-01T08:00:00Z"}});
    json!({"ok": {"stream_sequence": seq, "duplicate_batch": duplicate_batch, "exceptions": [exception],
        "counts": {"received": 1, "accepted": 0, "duplicate": 1, "rejected": 0, "quarantined": 0}}})
}

/// What workers tell of a batch that is not stored.
fn unknown() -> Value {
    json!({"ok": null})
}
