//! Metrics and health of every process, as Prometheus and an administrator read them.

use std::collections::BTreeMap;

use harness::{
    Database, Deployment, DevtrailUp, Engine, ROLES, envelope, event, free_address, until,
    wait_until_stopped,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use runtime::metrics::{ALL, Program};
use serde_json::{Value, json};

/// A scrape: each series, as it is written, with its value. Names are those of `# TYPE`.
#[derive(Debug, Default)]
struct Scrape {
    names: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads the text format 0.0.4, strictly: each sample belongs to a metric that was typed and explained before.
    fn of(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut explained = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                explained = help
                    .split_once(' ')
                    .expect("a name and its help")
                    .0
                    .to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and its kind");
                assert_eq!(name, explained, "it is not explained");
                assert!(
                    scrape
                        .names
                        .insert(name.to_owned(), kind.to_owned())
                        .is_none(),
                    "{name} comes twice"
                );
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                let name = series.split('{').next().expect("a name");
                let of_histogram =
                    ["_bucket", "_sum", "_count"].map(|part| format!("{explained}{part}"));
                assert!(
                    name == explained || of_histogram.iter().any(|one| one == name),
                    "{line} is out of place"
                );
                let value = value
                    .parse()
                    .unwrap_or_else(|_| panic!("{line} has no number"));
                assert!(
                    scrape.series.insert(series.to_owned(), value).is_none(),
                    "{series} comes twice"
                );
            }
        }
        scrape
    }

    /// The sum of the series whose names begin with `name` and that have these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_meant = |series: &str| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|label| series.contains(label))
        };
        self.series
            .iter()
            .filter(|(series, _)| is_meant(series))
            .map(|(_, value)| value)
            .sum()
    }

    fn has(&self, metric: &str) -> bool {
        self.names.contains_key(metric)
    }
}

async fn get(url: &str, path: &str) -> (u16, String, String) {
    ask(Method::GET, url, path).await
}

/// Status, media type and body.
async fn ask(method: Method, url: &str, path: &str) -> (u16, String, String) {
    let reply = reqwest::Client::new()
        .request(method, format!("{url}{path}"))
        .send()
        .await
        .unwrap();
    let media = reply.headers()["content-type"].to_str().unwrap().to_owned();
    (reply.status().as_u16(), media, reply.text().await.unwrap())
}

async fn scrape(url: &str) -> Scrape {
    let (status, media, text) = get(url, "/metrics").await;
    assert_eq!(
        (status, media.as_str()),
        (200, "text/plain; version=0.0.4; charset=utf-8"),
        "{text}"
    );
    Scrape::of(&text)
}

/// Starts a worker with an address for administrators; gives its URL.
fn worker(deployment: &mut Deployment, role: &str) -> String {
    let address = free_address();
    deployment.worker_with(role, role, &[("DEVTRAIL_ADMIN_LISTEN", &address)]);
    format!("http://{address}")
}

fn workers(deployment: &mut Deployment, engine: Engine) -> Vec<String> {
    let roles: &[&str] = if engine == Engine::Sqlite {
        &["all"]
    } else {
        &ROLES
    };
    roles.iter().map(|role| worker(deployment, role)).collect()
}

fn sum(scrapes: &[Scrape], name: &str, labels: &[&str]) -> f64 {
    scrapes.iter().map(|scrape| scrape.sum(name, labels)).sum()
}

/// Contract: admin-listen.routes
async fn counters_agree_with_what_was_sent(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let workers = workers(&mut deployment, engine);
    let before = scrape(&url)
        .await
        .sum("devtrail_http_requests_total", &["route=\"/v1/events\""]);
    for number in 0..3 {
        let mut events: Vec<Value> = (0..5)
            .map(|index| event(&format!("e-{number}-{index}")))
            .collect();
        events.push(json!({"id": format!("q-{number}"), "type": "never.heard", "occurred_at": "2026-03-01T09:00:00Z"}));
        events.push(json!({"id": format!("r-{number}"), "type": "file.saved"}));
        client
            .send(&envelope(&format!("b-{number}"), &events))
            .await;
    }
    client.send(&envelope("d", &[event("d-0")])).await;
    client.send(&envelope("d", &[event("d-0")])).await;
    let garbage = deployment
        .js()
        .await
        .publish("events.batch.ada", "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
    deployment.completed(4).await;
    let dead = async || {
        let scrapes = scrapes(&workers).await;
        let labels = ["stream=\"EVENTS\"", "consumer=\"persist\""];
        (sum(&scrapes, "devtrail_dead_letters_total", &labels) == 1.0).then_some(scrapes)
    };
    let stored = until("the garbage is counted as dead", dead).await;
    let taken = scrape(&url).await;
    let counted = |verdict: &str| {
        let label = format!("verdict=\"{verdict}\"");
        (
            taken.sum("devtrail_events_total", &[&label]),
            sum(&stored, "devtrail_events_stored_total", &[&label]),
        )
    };
    assert_eq!(counted("accepted"), (16.0, 16.0));
    assert_eq!(
        (
            counted("quarantined"),
            counted("rejected"),
            counted("duplicate")
        ),
        ((3.0, 3.0), (3.0, 3.0), (0.0, 0.0))
    );
    let published = |outcome: &str| {
        taken.sum(
            "devtrail_publishes_total",
            &[&format!("outcome=\"{outcome}\"")],
        )
    };
    assert_eq!(
        (
            published("stored"),
            published("duplicate"),
            published("unavailable")
        ),
        (4.0, 1.0, 0.0)
    );
    assert_eq!(
        taken.sum("devtrail_publish_duration_seconds_count", &[]),
        5.0
    );
    let posts = [
        "route=\"/v1/events\"",
        "method=\"POST\"",
        "status=\"202\"",
        "code=\"ok\"",
    ];
    assert_eq!(taken.sum("devtrail_http_requests_total", &posts), 5.0);
    assert!(taken.sum("devtrail_http_requests_total", &posts[..1]) - before >= 5.0);
    assert_eq!(
        sum(
            &stored,
            "devtrail_batches_stored_total",
            &["outcome=\"stored\""]
        ),
        4.0
    );
    for kind in ["aggregate", "normalize", "alert"] {
        assert_eq!(
            sum(
                &stored,
                "devtrail_jobs_done_total",
                &[&format!("kind=\"{kind}\"")]
            ),
            4.0,
            "{kind}"
        );
    }
    // Read once in 5 s at most, and batches once in 10 s.
    let has_all = async || {
        let message = scrape(&url)
            .await
            .sum("devtrail_stream_messages", &["stream=\"EVENTS\""]);
        (message as u64 == garbage.sequence).then_some(())
    };
    until("the gauge tells all messages of EVENTS", has_all).await;
    let none_left =
        async || (sum(&scrapes(&workers).await, "devtrail_batches", &[]) == 0.0).then_some(());
    until("no batch is unfinished", none_left).await;
    every_metric_of_the_table_is_told(&taken, &stored);
}

async fn scrapes(urls: &[String]) -> Vec<Scrape> {
    let mut scrapes = Vec::new();
    for url in urls {
        scrapes.push(scrape(url).await);
    }
    scrapes
}

/// And none that is not in it.
fn every_metric_of_the_table_is_told(collector: &Scrape, workers: &[Scrape]) {
    for metric in ALL {
        let by_a_worker = || workers.iter().any(|worker| worker.has(metric.name));
        let is_reported = match metric.program {
            Program::Collector => collector.has(metric.name),
            Program::Worker => by_a_worker(),
            Program::Every => {
                collector.has(metric.name) && workers.iter().all(|worker| worker.has(metric.name))
            }
        };
        assert!(is_reported, "{} is reported by nobody", metric.name);
    }
    for name in workers
        .iter()
        .chain([collector])
        .flat_map(|scrape| scrape.names.keys())
    {
        assert!(
            ALL.iter().any(|metric| metric.name == name),
            "{name} is not in the table"
        );
    }
}

async fn refusal(url: &str) -> Option<String> {
    let (status, media, body) = get(url, "/health/ready").await;
    assert_eq!(get(url, "/health/live").await.0, 200);
    if status == 200 {
        return None;
    }
    assert_eq!(
        (status, media.as_str()),
        (503, "application/problem+json"),
        "{body}"
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(
        body["detail"].as_str().unwrap().starts_with("Not ready: "),
        "{body}"
    );
    Some(body["code"].as_str().unwrap().to_owned())
}

async fn comes_to(url: &str, wanted: Option<&[&str]>) {
    runtime::process::install_tls();
    let what = format!("readiness tells {wanted:?}");
    until(&what, async || {
        if reqwest::get(format!("{url}/health/live")).await.is_err() {
            return None; // it starts
        }
        match (refusal(url).await, wanted) {
            (None, None) => Some(()),
            (Some(code), Some(codes)) => codes.contains(&code.as_str()).then_some(()),
            _ => None,
        }
    })
    .await;
}

/// Contract: admin-listen.ready, admin-listen.not-ready
async fn a_worker_is_not_ready_while_nats_is_away(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = workers(&mut deployment, engine).remove(0);
    comes_to(&url, None).await;
    deployment.signal("nats", Signal::SIGSTOP);
    wait_until_stopped(deployment.pid("nats")).await;
    comes_to(&url, Some(&["stream_unavailable"])).await;
    let unknown = async || {
        let message = scrape(&url).await.series;
        let of_server = |name: &str| {
            name.starts_with("devtrail_stream_") || name.starts_with("devtrail_consumer_")
        };
        message
            .iter()
            .all(|(name, value)| !of_server(name) || value.is_nan())
            .then_some(())
    };
    until(
        "nobody claims to know how large a stream is, or how far a consumer",
        unknown,
    )
    .await;
    deployment.signal("nats", Signal::SIGCONT);
    comes_to(&url, None).await;
}

harness::on_both_stores!(
    counters_agree_with_what_was_sent,
    a_worker_is_not_ready_while_nats_is_away
);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_not_ready_while_postgres_refuses_it() {
    let mut deployment = Deployment::start(Engine::Postgres).await;
    let url = worker(&mut deployment, "persist");
    comes_to(&url, None).await;
    let database = deployment.database.url();
    let (_, name) = database.rsplit_once('/').unwrap();
    let server = Database::Postgres(std::env::var("DEVTRAIL_TEST_POSTGRES").unwrap());
    server
        .execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .await;
    server
        .rows(&format!(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    comes_to(&url, Some(&["store_unavailable"])).await;
    assert_eq!(
        scrape(&url)
            .await
            .sum("devtrail_check_ok", &["check=\"store\""]),
        0.0
    );
    server
        .execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await;
    comes_to(&url, None).await;
    assert_eq!(
        scrape(&url)
            .await
            .sum("devtrail_check_ok", &["check=\"store\""]),
        1.0
    );
}

/// Contract: admin-listen.metrics, admin-listen.port
#[tokio::test(flavor = "multi_thread")]
async fn up_serves_metrics_on_its_admin_address_only() {
    let up = DevtrailUp::start_with(&["--admin-listen", "127.0.0.1:0"]).await;
    let admin = up.address("admin");
    let public = up.address("collector");
    comes_to(&admin, None).await;
    let (status, _, body) = get(&public, "/metrics").await;
    let refusal: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, refusal["code"].as_str()), (404, Some("not_found")));
    assert_eq!(
        (
            get(&public, "/health/ready").await.0,
            get(&public, "/health/live").await.0
        ),
        (200, 200)
    );
    up.client().send(&envelope("b", &[event("e")])).await;
    up.until("it is stored", || {
        (up.count("SELECT count(*) FROM events") == 1).then_some(())
    })
    .await;
    let message = scrape(&admin).await;
    let stored = message.sum("devtrail_events_stored_total", &["accepted"]);
    assert_eq!(
        (message.sum("devtrail_events_total", &["accepted"]), stored),
        (1.0, 1.0)
    );
    assert_eq!(ask(Method::POST, &admin, "/metrics").await.0, 405);
    assert_eq!(get(&admin, "/v1/events").await.0, 404);
}

/// Contract: routes.metrics, admin-listen.off
#[tokio::test(flavor = "multi_thread")]
async fn without_an_admin_address_the_collector_serves_metrics() {
    let up = DevtrailUp::start().await;
    let message = scrape(&up.address("collector")).await;
    assert_eq!(message.sum("devtrail_build_info", &["version"]), 1.0);
    let addresses = std::fs::read_to_string(up.path("addresses.json")).unwrap();
    assert!(!addresses.contains("admin"), "{addresses}");
}
