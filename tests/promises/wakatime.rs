//! WakaTime's clients: their route, one status a heartbeat, and a queue that is neither blocked nor lost.

use harness::{Client, DevtrailUp};
use serde_json::{Value, json};

const ONE: &str = "/api/v1/users/current/heartbeats";
const BULK: &str = "/api/v1/users/current/heartbeats.bulk";

/// The Base64 of `text`, by the same rule as its clients (RFC 4648, section 4).
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| -> String {
        let bits = chunk
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |at: usize| {
            if at > chunk.len() {
                '='
            } else {
                DIGITS[bits >> (18 - 6 * at) & 63] as char
            }
        };
        (0..4).map(digit).collect()
    };
    text.as_bytes().chunks(3).map(encode).collect()
}

async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let basic = format!("Basic {}", base64(client.key()));
    let base = [
        ("authorization", &*basic),
        ("content-type", "application/json"),
    ];
    let named = |name: &str| headers.iter().any(|(other, _)| *other == name);
    let headers: Vec<_> = base
        .into_iter()
        .filter(|(name, _)| !named(name))
        .chain(headers.iter().copied())
        .collect();
    let reply = client
        .raw_at(path, &headers, body.to_string().into_bytes())
        .await;
    (reply.status().as_u16(), reply.json().await.unwrap())
}

fn heartbeat(time: f64) -> Value {
    json!({
        "time": time, "entity": "/src/main.rs", "type": "file", "category": null, "is_write": true,
        "project": "demo", "branch": "main", "language": "Rust", "dependencies": ["tokio"],
        "lines": 120, "lineno": "12", "cursorpos": null, "user_agent": "wakatime/13.1.0 vim",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut heartbeat = heartbeat(1_772_352_898.5);
    heartbeat[name] = value;
    heartbeat
}

/// Waits until as many batches are stored.
async fn stored(up: &DevtrailUp, batches: i64) {
    let all = || (up.count("SELECT count(*) FROM batches") == batches).then_some(());
    up.until("the batches are stored", all).await;
}

/// Contract: heartbeats.routes, heartbeats.mapping, heartbeats.time, heartbeats.data
/// Contract: heartbeats.renamed, heartbeats.numbers, heartbeats.null, heartbeats.others
/// Contract: heartbeats.client, heartbeats.batch-id, heartbeats.sent-at, heartbeats.reply-data
#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_stored_with_all_its_members() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let headers = [
        ("user-agent", "wakatime/13.1.0 vim"),
        ("x-machine-name", "desk"),
        ("timezone", "Asia/Tokyo"),
    ];
    let (status, reply) = post(&client, ONE, &headers, &heartbeat(1_772_352_898.123_456)).await;
    assert_eq!(status, 201, "{reply}");
    let data = &reply["data"];
    let echoed = (&data["entity"], &data["type"], &data["time"]);
    assert_eq!(
        echoed,
        (
            &json!("/src/main.rs"),
            &json!("file"),
            &json!(1_772_352_898.123_456)
        )
    );
    stored(&up, 1).await;
    let row = "SELECT e.body, e.event_id, e.local_day, b.client, b.batch_id, b.sent_at, b.received_at FROM \
        events e JOIN batches b USING (src, seq)";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get::<_, Vec<u8>>(0)?,
            row.get(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, Vec<u8>>(3)?,
            row.get(4)?,
            (row.get::<_, String>(5)?, row.get(6)?),
        ))
    };
    let (body, id, day, of_client, batch_id, (sent_at, received_at)): (_, String, _, _, String, _) =
        up.database().query_row(row, [], read).unwrap();
    let event: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({
        "id": data["id"], "type": "heartbeat", "occurred_at": "2026-03-01T08:14:58.123456Z",
        "data": {"entity": "/src/main.rs", "entity_type": "file", "is_write": true, "project": "demo",
                 "branch": "main", "language": "Rust", "lines": 120, "line": 12},
        "wakatime": {"dependencies": ["tokio"], "user_agent": "wakatime/13.1.0 vim"},
    });
    assert_eq!((event, json!(id)), (expected, data["id"].clone()));
    let of_client: Value = serde_json::from_slice(&of_client).unwrap();
    assert_eq!(
        (of_client, day.as_str()),
        (
            json!({"name": "wakatime/13.1.0 vim", "host_id": "desk", "time_zone": "Asia/Tokyo"}),
            "2026-03-01"
        )
    );
    assert_eq!(sent_at, types::time::rfc3339(received_at));
    assert!(
        batch_id
            .strip_prefix("wakatime-")
            .is_some_and(|hex| hex.len() == 32),
        "{batch_id}"
    );
}

/// Contract: heartbeats.array, heartbeats.accepted, heartbeats.quarantined, heartbeats.rejected
/// Contract: heartbeats.queue, heartbeats.audit
#[tokio::test(flavor = "multi_thread")]
async fn each_heartbeat_gets_its_own_status() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let bulk = json!([
        heartbeat(1_772_352_898.5),
        with("entity", json!("")),
        heartbeat(1_772_352_898.5),
        heartbeat(946_684_799.0),
        "no heartbeat",
        with("time", Value::Null),
        heartbeat(1_772_352_899.5),
    ]);
    let (status, reply) = post(&client, BULK, &[], &bulk).await;
    assert_eq!(status, 201, "{reply}");
    let responses = reply["responses"].as_array().unwrap();
    let statuses: Vec<&Value> = responses.iter().map(|response| &response[1]).collect();
    assert_eq!(
        json!(statuses),
        json!([201, 400, 201, 202, 400, 400, 201]),
        "{reply}"
    );
    for (response, begin) in [
        (1, "entity: "),
        (4, "a heartbeat must be"),
        (5, "time: time must be"),
    ] {
        let error = responses[response][0]["error"].as_str().unwrap();
        assert!(error.starts_with(begin), "{error}");
    }
    assert_eq!(responses[0][0]["data"]["id"], responses[2][0]["data"]["id"]);
    let (status, problem) = post(&client, ONE, &[], &with("entity", json!([]))).await;
    let stderr_of = (
        status,
        &problem["code"],
        &problem["pointer"],
        &problem["retryable"],
    );
    assert_eq!(
        stderr_of,
        (
            400,
            &json!("invalid_envelope"),
            &json!("/entity"),
            &json!(false)
        ),
        "{problem}"
    );
    assert_eq!(
        post(&client, ONE, &[], &heartbeat(946_684_799.0)).await.0,
        202
    );
    stored(&up, 3).await;
    let report = up.verify();
    let found = (
        &report["stored"],
        &report["rejected"],
        &report["quarantined"],
        &report["duplicates"],
    );
    assert_eq!(
        found,
        (&json!(2), &json!(4), &json!(2), &json!(1)),
        "{report}"
    );
}

/// Contract: heartbeats.twice
#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_that_are_encoded_twice_are_read() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let beat = heartbeat(1_772_352_898.5);
    let twice = |body: Value| json!(body.to_string());
    for path in [ONE, BULK] {
        let (status, reply) = post(&client, path, &[], &twice(beat.clone())).await;
        assert_eq!((status, &reply["data"]["entity"]), (201, &beat["entity"]));
        let (status, reply) = post(&client, path, &[], &twice(json!([beat]))).await;
        assert_eq!((status, &reply["responses"][0][1]), (201, &json!(201)));
        for none in [twice(twice(beat.clone())), json!("")] {
            let (status, problem) = post(&client, path, &[], &none).await;
            assert_eq!(status, 400, "{none}: {problem}");
        }
    }
}

/// Contract: heartbeats.routes, heartbeats.shape
#[tokio::test(flavor = "multi_thread")]
async fn either_route_takes_one_or_many_and_answers_in_kind() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    for path in [ONE, BULK] {
        let beat = heartbeat(1_772_352_898.5);
        let (status, reply) = post(&client, path, &[], &beat).await;
        assert_eq!(
            (status, &reply["data"]["entity"]),
            (201, &beat["entity"]),
            "{path} {reply}"
        );
        let (status, reply) = post(&client, path, &[], &json!([beat])).await;
        let entry = &reply["responses"][0];
        assert_eq!(
            (status, &entry[0]["data"]["entity"], &entry[1]),
            (201, &beat["entity"], &json!(201)),
            "{path} {reply}"
        );
        // Alone it is the request's status, among others its own: neither makes a client lose the others.
        let bad = with("entity", json!(""));
        let (status, problem) = post(&client, path, &[], &bad).await;
        assert_eq!(
            (status, &problem["pointer"]),
            (400, &json!("/entity")),
            "{path} {problem}"
        );
        let (status, reply) =
            post(&client, path, &[], &json!([bad, heartbeat(946_684_799.0)])).await;
        let statuses = (&reply["responses"][0][1], &reply["responses"][1][1]);
        assert_eq!(
            (status, statuses),
            (201, (&json!(400), &json!(202))),
            "{path} {reply}"
        );
        let many: Vec<Value> = (0..1000)
            .map(|second| heartbeat(1_772_300_000.0 + f64::from(second)))
            .collect();
        let (status, reply) = post(&client, path, &[], &json!(many)).await;
        assert_eq!(
            (status, reply["responses"].as_array().unwrap().len()),
            (201, 1000),
            "{path}"
        );
    }
}

/// Contract: heartbeats.details, heartbeats.numbers, heartbeats.truth, heartbeats.unused, heartbeats.around
/// Contract: heartbeats.needed
#[tokio::test(flavor = "multi_thread")]
async fn a_side_detail_costs_no_heartbeat_its_time() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let details = [
        ("is_write", json!("true"), json!(null)),
        ("is_write", json!(1), json!(null)),
        ("cursorpos", json!(""), json!("")),
        ("lineno", json!(-1), json!(-1)),
        ("lines", json!(-1), json!(-1)),
        ("lines", json!("12.0"), json!(null)),
        ("project", json!(2021), json!(null)),
        ("type", json!(""), json!("")),
        ("dependencies", json!({"a": 1e300}), json!({"a": 1e300})),
        ("branch", json!(["main"]), json!(["main"])),
    ];
    let beats: Vec<Value> = details
        .iter()
        .zip(0..)
        .map(|((name, value, _), second)| {
            let mut beat = heartbeat(1_772_352_000.0 + f64::from(second));
            beat[*name] = value.clone();
            beat
        })
        .collect();
    for body in [json!([beats]), json!({"data": beats}), json!(beats)] {
        let (status, reply) = post(&client, BULK, &[("prefer", "wait=30")], &body).await;
        assert_eq!(status, 201, "{reply}");
        let responses = reply["responses"].as_array().unwrap();
        assert_eq!(responses.len(), beats.len(), "{reply}");
        for ((name, _, unused), response) in details.iter().zip(responses) {
            assert_eq!(response[1], 201, "{name}: {response}");
            let event: Value =
                serde_json::from_str(&up.kept(response[0]["data"]["id"].as_str().unwrap()))
                    .unwrap();
            assert_eq!(event["wakatime"][name], *unused, "{event}");
        }
    }
    assert_eq!(up.count("SELECT count(*) FROM events"), beats.len() as i64);
    // Their time counts: five minutes' worth of activity is seen in the metrics of that day.
    let metrics = async || {
        let days = client
            .get_with_key("/v1/metrics/daily?from=2026-03-01&to=2026-03-01")
            .await;
        let days: Value = days.json().await.ok()?;
        (days["days"][0]["events"].as_i64()? >= beats.len() as i64).then_some(())
    };
    harness::until("the metrics have them", metrics).await;
    let unreadable = json!({"time": 1_772_352_898, "entity": "", "lines": 3});
    assert_eq!(post(&client, ONE, &[], &unreadable).await.0, 400);
}

/// Contract: heartbeats.id, heartbeats.same-id, heartbeats.on-disk
#[tokio::test(flavor = "multi_thread")]
async fn an_offline_queue_may_send_again_in_other_portions() {
    let mut up = DevtrailUp::start().await;
    let beats: Vec<Value> = (0..40)
        .map(|second| heartbeat(1_772_352_000.0 + f64::from(second)))
        .collect();
    let client = up.client();
    for portion in [&beats[..25], &beats[..25], &beats[20..], &beats[..]] {
        let headers = [("prefer", "wait=30")];
        let (status, reply) = post(&client, BULK, &headers, &json!(portion)).await;
        assert_eq!(
            (status, reply["responses"].as_array().unwrap().len()),
            (201, portion.len())
        );
        assert!(
            reply["responses"]
                .as_array()
                .unwrap()
                .iter()
                .all(|response| response[1] == 201),
            "{reply}"
        );
    }
    assert_eq!(up.count("SELECT count(*) FROM events"), 40);
    // What was answered is there after kill -9 of everything, whether it was stored yet or not.
    assert_eq!(
        post(&client, BULK, &[], &json!([heartbeat(1_772_353_000.0)]))
            .await
            .0,
        201
    );
    up.kill_nats();
    up.kill();
    up.restart().await;
    let all = || (up.count("SELECT count(*) FROM events") == 41).then_some(());
    up.until("all are stored", all).await;
    assert_eq!(up.verify()["stored"], 41);
}

/// Contract: heartbeats.basic, heartbeats.bearer, heartbeats.errors
#[tokio::test(flavor = "multi_thread")]
async fn the_key_comes_in_basic_and_whole_requests_fail_as_elsewhere() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let key = client.key();
    let beat = heartbeat(1_772_352_898.5);
    let schemes = [
        format!("Basic {}", base64(key)),
        format!("Basic {}", base64(&format!("{key}:"))),
        format!("Bearer {key}"),
    ];
    for authorization in &schemes {
        let (status, reply) = post(&client, ONE, &[("authorization", authorization)], &beat).await;
        assert_eq!(status, 201, "{authorization} {reply}");
    }
    let many = json!(vec![beat.clone(); 1001]);
    let expect = |status: u16, code: &str| (status, json!(code));
    let stderr_of = |(status, problem): (u16, Value)| (status, problem["code"].clone());
    for bad in [
        format!("Basic {}", base64("other")),
        "Basic !".to_owned(),
        "Digest x".to_owned(),
    ] {
        let refused = post(&client, BULK, &[("authorization", &bad)], &beat).await;
        assert_eq!(stderr_of(refused), expect(401, "unauthenticated"), "{bad}");
    }
    assert_eq!(
        stderr_of(post(&client, BULK, &[], &many).await),
        expect(413, "too_many_events")
    );
    for (path, body) in [
        (BULK, json!([])),
        (ONE, json!([])),
        (BULK, json!("x")),
        (ONE, json!(7)),
    ] {
        assert_eq!(
            stderr_of(post(&client, path, &[], &body).await),
            expect(400, "invalid_envelope"),
            "{body}"
        );
    }
    let basic = [("authorization", schemes[0].as_str())];
    let malformed = client.raw_at(BULK, &basic, b"[{".to_vec()).await;
    assert_eq!(
        (
            malformed.status().as_u16(),
            &malformed.headers()["content-type"]
        ),
        (400, &"application/problem+json".parse().unwrap())
    );
    assert_eq!(
        malformed.json::<Value>().await.unwrap()["code"],
        "malformed_json"
    );
}
