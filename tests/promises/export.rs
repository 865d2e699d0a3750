//! Everything stored about a developer can be taken out, and into another Devtrail, which then says the same of them.

mod dumps;
mod round_trip;

use harness::{Client, Deployment, DevtrailUp, Engine, envelope, event, stderr_of, until};
use serde_json::{Value, json};

/// The lines of an export by their kind.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

/// The lines that `devtrail export ada` prints.
fn exported(deployment: &Deployment, more: &[&str]) -> Vec<Value> {
    let output = deployment.run("devtrail", &[&["export", "ada"], more].concat());
    assert!(output.status.success(), "{}", stderr_of(&output));
    lines(&String::from_utf8(output.stdout).unwrap())
}

/// The same by HTTP.
async fn served(client: &Client, query: &str) -> Vec<Value> {
    let response = client.get_with_key(&format!("/v1/export{query}")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    lines(&response.text().await.unwrap())
}

/// Contract: export.lines, export.forms, export.range, export.order
async fn an_export_has_everything_of_its_developer_and_an_end(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let pretty = "{\n  \"id\": \"pretty\",\n  \"type\": \"heartbeat\",\n  \
        \"occurred_at\": \"2026-03-02T10:00:00+01:00\",\n  \"data\": {\"entity\": \"a.rs\"}\n}";
    let headers = [("content-type", "application/json")];
    let body = format!(
        "{{\"batch_id\":\"b2\",\"sent_at\":\"2026-03-02T10:00:00Z\",\"schema_version\":\"1.0\",\"events\":[{pretty}]}}"
    );
    let mut unknown = event("q1");
    unknown["type"] = json!("coffee.drunk");
    client
        .send(&envelope("b1", &[event("e2"), event("e1"), unknown]))
        .await;
    assert_eq!(client.send_as(&headers, &body).await.0, 202);
    let mut forced = event("forced");
    forced["type"] = json!("git.push");
    forced["occurred_at"] = json!("2026-03-03T09:00:00Z");
    forced["data"] = json!({"force": true, "branch": "topic"});
    client.send(&envelope("b3", &[forced])).await;
    deployment.completed(3).await;
    let bob = deployment.client(client.url(), "bob").await;
    bob.send(&envelope("b1", &[event("theirs")])).await;

    let all = exported(&deployment, &[]);
    let kinds: Vec<&str> = all
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "header", "settings", "event", "record", "event", "record", "event", "record", "event",
            "record", "refused", "day", "day", "day", "alert", "end"
        ]
    );
    let ids: Vec<&Value> = of_kind(&all, "event")
        .iter()
        .map(|line| &line["id"])
        .collect();
    assert_eq!(ids, ["e1", "e2", "pretty", "forced"], "by time, then by id");
    let last = of_kind(&all, "event")[2];
    assert_eq!(
        last["event"],
        serde_json::from_str::<Value>(pretty).unwrap()
    );
    assert_eq!(
        (&last["local_day"], &last["batch_id"], &last["effective_at"]),
        (
            &json!("2026-03-02"),
            &json!("b2"),
            &json!("2026-03-02T09:00:00.000000Z")
        )
    );
    let refused = of_kind(&all, "refused")[0];
    assert_eq!(
        (&refused["id"], &refused["code"], &refused["event"]["type"]),
        (&json!("q1"), &json!("type_unknown"), &json!("coffee.drunk"))
    );
    let alert = of_kind(&all, "alert")[0];
    assert_eq!(
        (
            &alert["alert"]["rule"],
            &alert["alert"]["evidence"]["event_ids"]
        ),
        (&json!("force-push"), &json!(["forced"])),
        "{alert}"
    );
    let end = json!({"events": 4, "records": 4, "refused": 1, "days": 3, "alerts": 1});
    assert_eq!(all.last().unwrap()["counts"], end);

    let by_http = served(&client, "").await;
    assert_eq!(by_http[1..], all[1..], "the routes give the same lines");
    let one_day = served(&client, "?from=2026-03-02&to=2026-03-02").await;
    assert_eq!(
        (
            of_kind(&one_day, "event").len(),
            of_kind(&one_day, "day").len()
        ),
        (1, 1)
    );
    assert_eq!(
        one_day[1..],
        exported(&deployment, &["--from", "2026-03-02", "--to", "2026-03-02"])[1..]
    );
    // A range of decades costs what is in it.
    assert_eq!(
        served(&client, "?from=1970-01-01&to=2070-01-01").await[1..],
        all[1..]
    );
}

/// Contract: export.large, export.broken-off
async fn a_large_event_passes_and_an_export_that_breaks_off_has_no_end(engine: Engine) {
    let (mut deployment, client) = Deployment::running(engine).await;
    const LARGE: usize = 4 * 1024 * 1024 - 4096;
    let mut large = event("large");
    large["data"]["note"] = json!("y".repeat(LARGE));
    client.send(&envelope("b0", &[large])).await;
    deployment.completed(1).await;
    let whole = served(&client, "").await;
    assert_eq!(
        of_kind(&whole, "event")[0]["event"]["data"]["note"]
            .as_str()
            .unwrap()
            .len(),
        LARGE
    );
    assert_eq!(
        (
            of_kind(&whole, "record").len(),
            of_kind(&whole, "end").len()
        ),
        (1, 1)
    );

    // More than sockets hold on the way.
    for number in 1..=10 {
        let mut more = event(&format!("more{number}"));
        more["data"]["note"] = json!("y".repeat(LARGE));
        client.send(&envelope(&format!("b{number}"), &[more])).await;
    }
    deployment.completed(11).await;
    let mut response = client.get_with_key("/v1/export").await;
    assert_eq!(response.status(), 200);
    let mut text = response.chunk().await.unwrap().unwrap().to_vec();
    deployment.stop_workers().await;
    let cut_off = loop {
        match response.chunk().await {
            Ok(Some(more)) => text.extend_from_slice(&more),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(
        cut_off,
        "the connection is not closed as after a whole body"
    );
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("\"kind\":\"header\"") && !text.contains("\"kind\":\"end\""));
}

/// Contract: export.refused
async fn what_is_no_export_to_ask_for_is_refused(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    for (query, parameter) in [
        ("?from=yesterday", "from"),
        ("?to=2026-02-30", "to"),
        ("?from=2026-03-02&to=2026-03-01", "from"),
    ] {
        let refused = client.get_with_key(&format!("/v1/export{query}")).await;
        assert_eq!(refused.status(), 400, "{query}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(
            (&problem["code"], &problem["parameter"]),
            (&json!("invalid_parameter"), &json!(parameter)),
            "{query}"
        );
    }
    let unavailable = client.get_with_key("/v1/export").await;
    assert_eq!(unavailable.status(), 503, "no worker runs");
    deployment.workers(1);
    until("a worker answers", async || {
        (client.get_with_key("/v1/export").await.status() == 200).then_some(())
    })
    .await;
    for arguments in [
        &[
            "export",
            "ada",
            "--from",
            "2026-03-02",
            "--to",
            "2026-03-01",
        ][..],
        &["export", "ada", "--from", "yesterday"],
        &["import", "devtrail", "no-such-file.ndjson"],
        &["import", "wakatime", "no-such-file.json"],
        &["import", "activitywatch", "no-such-file.json"],
    ] {
        let output = deployment.run("devtrail", arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr_of(&output)
        );
    }
    let stranger = deployment.run("devtrail", &["export", "nobody"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(stranger.stdout.is_empty(), "{stranger:?}");
}

/// Contract: export.file
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_its_owners_alone_and_whole() {
    use std::os::unix::fs::PermissionsExt as _;
    let up = DevtrailUp::start().await;
    let client = up.client();
    client
        .send_waiting(&envelope("b1", &[event("e1")]), 30)
        .await;
    let file = up.path("me.ndjson");
    let output = up.devtrail(&["export", "-o", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    assert!(
        output.stdout.is_empty() && stderr_of(&output).contains("exported 1 event"),
        "{output:?}"
    );
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.lines().last().unwrap().starts_with(r#"{"kind":"end""#),
        "{text}"
    );
    // What stands there already is replaced only by a whole one.
    let stranger = up.devtrail(&["export", "nobody", "-o", file.to_str().unwrap()]);
    assert!(!stranger.status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

harness::on_both_stores!(
    an_export_has_everything_of_its_developer_and_an_end,
    a_large_event_passes_and_an_export_that_breaks_off_has_no_end,
    what_is_no_export_to_ask_for_is_refused,
);
