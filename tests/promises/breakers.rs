//! The collector's circuit breaker: it spares a stream that does not answer, and clients learn for how long.

mod closes;

use std::time::Duration;

use futures_util::future::join_all;
use harness::{
    Client, Deployment, Engine, RawConnection, envelope, event, stderr_of, until,
    wait_until_stopped,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A refusal as a client sees it.
struct Refusal {
    status: u16,
    code: String,
    /// The header, in seconds.
    retry_after: Option<u64>,
    body: Value,
}

impl Refusal {
    /// As long as the client is asked to stay away.
    async fn kept(&self) {
        let pause = self.body["retry_after_ms"].as_u64().expect("a pause");
        assert_eq!(
            self.retry_after,
            Some(pause.div_ceil(1000)),
            "{}",
            self.body
        );
        tokio::time::sleep(Duration::from_millis(pause)).await; // sleep: what the reply asks for
    }

    fn is_unknown(&self) -> bool {
        self.body["detail"]
            .as_str()
            .unwrap()
            .contains("It is unknown whether the batch was stored")
    }
}

async fn send(client: &Client, id: &str) -> Refusal {
    refusal(client.post(&envelope(id, &[event(id)])).await.unwrap()).await
}

async fn refusal(reply: reqwest::Response) -> Refusal {
    let retry_after = reply
        .headers()
        .get("retry-after")
        .map(|value| value.to_str().unwrap().parse().unwrap());
    let status = reply.status().as_u16();
    let body: Value = reply.json().await.unwrap();
    Refusal {
        status,
        code: body["code"].as_str().unwrap_or_default().to_owned(),
        retry_after,
        body,
    }
}

/// A deployment whose collector takes these arguments, and a client that it knows.
async fn deployment(engine: Engine, arguments: &[&str]) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector_with("collector", arguments).await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
    (deployment, client)
}

async fn stop_nats(deployment: &Deployment) {
    deployment.signal("nats", Signal::SIGSTOP);
    wait_until_stopped(deployment.pid("nats")).await;
}

/// The state of the collector's breaker, and whether `devtrail status` names it as open.
fn status(deployment: &Deployment) -> Option<(String, bool)> {
    let json = deployment.run("devtrail", &["status", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).ok()?;
    let breaker = &json["collectors"][0]["breakers"][0];
    assert_eq!(breaker["name"], "stream", "{json}");
    let text = deployment.run("devtrail", &["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    Some((
        breaker["state"].as_str()?.to_owned(),
        text.contains("The breaker stream of collector"),
    ))
}

/// Five attempts that fail open it, whosever they are: here those of five requests that have a minute each.
/// Whoever asks then is refused before the body has come, until a client that waited long enough gets through.
///
/// Contract: routes.ready, errors.circuit_open, breaker.opens, breaker.open, breaker.in-flight
async fn the_breaker_opens_on_a_silent_stream_and_closes_again(engine: Engine) {
    let (deployment, client) = deployment(
        engine,
        &["--publish-timeout", "60s", "--breaker-open-for", "3s"],
    )
    .await;
    client.send(&envelope("before", &[event("before")])).await;
    stop_nats(&deployment).await;
    let ids = ["b1", "b2", "b3", "b4", "b5"];
    for refusal in join_all(ids.map(|id| send(&client, id))).await {
        assert_eq!(
            (refusal.status, &*refusal.code),
            (503, "circuit_open"),
            "{}",
            refusal.body
        );
        assert!(refusal.is_unknown(), "{}", refusal.body);
    }
    // A body that never comes is not waited for.
    let mut wire = RawConnection::open(client.url()).await;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n",
        client.key()
    );
    wire.send(head).await;
    let refused = wire.answer().await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (503, &json!("circuit_open"))
    );
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("Nothing was stored"),
        "{refused:?}"
    );
    let ready = refusal(client.get("/health/ready").await).await;
    assert_eq!((ready.status, &*ready.code), (503, "circuit_open"));
    // Log lines are written in the background.
    let logged = async |line: &str| {
        let log = async || deployment.log("collector").contains(line).then_some(());
        until(&format!("the log says {line:?}"), log).await;
    };
    logged("no PubAck within").await;
    // The client of the commands keeps trying, and keeps the pause.
    std::fs::write(deployment.path("events"), event("sent").to_string()).unwrap();
    std::fs::write(deployment.path("key"), client.key()).unwrap();
    let mut sending = deployment.command(
        "devtrail",
        &["send", "events", "--url", client.url(), "--key-file", "key"],
    );
    let sending = tokio::task::spawn_blocking(move || sending.output().unwrap());
    deployment.signal("nats", Signal::SIGCONT);
    let opened = send(&client, "b1").await;
    assert_eq!(opened.code, "circuit_open", "{}", opened.body);
    opened.kept().await;
    for id in ids {
        let refusal = send(&client, id).await;
        assert_eq!(refusal.status, 202, "{}", refusal.body);
    }
    assert_eq!(client.get("/health/ready").await.status(), 200);
    let sent = sending.await.unwrap();
    assert!(sent.status.success(), "{}", stderr_of(&sent));
    until("it is reported as closed", async || {
        (status(&deployment)? == ("closed".to_owned(), false)).then_some(())
    })
    .await;
    logged("a circuit breaker closed").await;
    let log = deployment.log("collector");
    for line in [
        "a circuit breaker opened",
        "a circuit breaker lets probes through",
        "a circuit breaker closed",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line} in\n{log}");
    }
    deployment.completed(7).await;
    assert_eq!(deployment.verify()["stored"], 7);
}

/// Contract: breaker.trial, breaker.doubles
async fn three_batches_are_tried_and_the_pause_doubles_if_they_fail(engine: Engine) {
    let (deployment, client) = deployment(
        engine,
        &["--publish-timeout", "60s", "--breaker-open-for", "1s"],
    )
    .await;
    stop_nats(&deployment).await;
    for refusal in join_all(["b1", "b2", "b3", "b4", "b5"].map(|id| send(&client, id))).await {
        assert_eq!(refusal.code, "circuit_open", "{}", refusal.body);
    }
    let opened = send(&client, "b1").await;
    assert!(
        opened.body["retry_after_ms"].as_u64().unwrap() <= 1000,
        "{}",
        opened.body
    );
    opened.kept().await;
    let ids: Vec<String> = (0..10).map(|number| format!("probe-{number}")).collect();
    let all = join_all(ids.iter().map(|id| send(&client, id))).await;
    assert!(all.iter().all(|refusal| refusal.code == "circuit_open"));
    assert_eq!(
        all.iter().filter(|refusal| refusal.is_unknown()).count(),
        3,
        "so many were tried"
    );
    let again = send(&client, "b1").await;
    let pause = again.body["retry_after_ms"].as_u64().unwrap();
    assert!((1001..=2000).contains(&pause), "{}", again.body);
}

/// A connection that is lost is no different, and nothing waits for it.
///
/// Contract: errors.stream_unavailable, errors.circuit_open
async fn a_lost_server_opens_it_and_status_names_it(engine: Engine) {
    let (deployment, client) = deployment(engine, &["--breaker-open-for", "60s"]).await;
    stop_nats(&deployment).await;
    for refusal in join_all(["b1", "b2", "b3", "b4", "b5"].map(|id| send(&client, id))).await {
        assert_eq!(refusal.code, "circuit_open", "{}", refusal.body);
    }
    deployment.signal("nats", Signal::SIGCONT);
    until("status names it", async || {
        (status(&deployment)? == ("open".to_owned(), true)).then_some(())
    })
    .await;
    let mut other = Deployment::start(engine).await;
    let url = other.collector("collector").await;
    let client = other.client(&url, "ada").await;
    other.kill("nats");
    until("the collector has noticed", async || {
        (client.get("/health/ready").await.status() == 503).then_some(())
    })
    .await;
    let mut codes = Vec::new();
    for number in 0..6 {
        codes.push(send(&client, &format!("b{number}")).await.code);
    }
    assert_eq!(codes[..5], ["stream_unavailable"; 5], "{codes:?}");
    assert_eq!(codes[5], "circuit_open");
}

/// Contract: breaker.not-failures
async fn a_flood_of_bad_input_or_a_full_stream_never_opens_it(engine: Engine) {
    let (deployment, client) = deployment(engine, &["--rate", "0"]).await;
    let streams = deployment.streams().await;
    let room = streams.edit("EVENTS", |config| config.max_bytes = 1).await;
    let bad = [
        json!({}),
        json!("no object"),
        json!({"batch_id": "b", "events": []}),
        envelope("", &[event("e")]),
        json!({"batch_id": "b", "sent_at": "never", "schema_version": "1.0", "events": [1]}),
    ];
    for round in 0..40 {
        let bad = (0..50).map(|number| {
            let body = &bad[number % bad.len()];
            let client = &client;
            async move { client.post(body).await.unwrap().status().as_u16() }
        });
        assert!(join_all(bad).await.iter().all(|status| *status == 400));
        let refusal = send(&client, &format!("full-{round}")).await;
        assert_eq!(
            (refusal.status, &*refusal.code),
            (503, "stream_full"),
            "{}",
            refusal.body
        );
    }
    streams.edit("EVENTS", |config| *config = room).await;
    assert_eq!(send(&client, "good").await.status, 202);
    assert!(
        !deployment.log("collector").contains("circuit breaker"),
        "{}",
        deployment.log("collector")
    );
    deployment.completed(1).await;
}

harness::on_both_stores!(
    the_breaker_opens_on_a_silent_stream_and_closes_again,
    three_batches_are_tried_and_the_pause_doubles_if_they_fail,
    a_lost_server_opens_it_and_status_names_it,
    a_flood_of_bad_input_or_a_full_stream_never_opens_it,
);
