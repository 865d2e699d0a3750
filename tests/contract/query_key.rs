//! The key in the query, as WakaTime's clients in browsers send it: taken at their routes, and written nowhere.

use bytes::Bytes;
use harness::{Deployment, Engine, until};
use serde_json::Value;

use crate::problem::problem;
use crate::support::RawClient;

const ONE: &str = "/api/v1/users/current/heartbeats";
const HEARTBEAT: &str =
    r#"{"entity":"https://example.org","type":"domain","time":"1772352898","project":"shop"}"#;

/// The Base64 of `text` (RFC 4648, section 4).
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| -> String {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(*chunk.get(at).unwrap_or(&0))
        });
        let digit = |at: usize| match at > chunk.len() {
            true => '=',
            false => char::from(DIGITS[bits >> (18 - 6 * at) & 63]),
        };
        (0..4).map(digit).collect()
    };
    text.as_bytes().chunks(3).map(encode).collect()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn post(target: &str, headers: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\
         {headers}\r\n{HEARTBEAT}",
        HEARTBEAT.len()
    )
}

/// Contract: heartbeats.query-key, heartbeats.key-not-logged, heartbeats.content-type, errors.logged
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_query_is_taken_there_and_never_logged() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let arguments = ["--log", "trace", "--cors-origin", "moz-extension://1"];
    let url = deployment.collector_with("collector", &arguments).await;
    deployment.worker_with("all", "all", &[("DEVTRAIL_LOG", "trace")]);
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let key = &client.key;
    let encoded = base64(key);
    // The test's own client has sent the key in a header, which is not what is looked for.
    let forms = [
        key.clone(),
        escaped(key),
        encoded.clone(),
        encoded.replace('=', "%3D"),
        encoded.trim_end_matches('=').to_owned(),
        base64(&format!("{key}:")),
    ];
    for form in &forms {
        for path in [
            ONE,
            "/api/v1/users/current/heartbeats.bulk",
            "//api/v1/users/current/heartbeats/",
        ] {
            let answer = client
                .ask(post(&format!("{path}?x=1&api_key={form}&y"), ""))
                .await;
            assert_eq!(answer.status, 201, "{form}: {answer:?}");
            assert!(answer.json()["data"]["id"].is_string(), "{answer:?}");
        }
    }
    let query = format!("?api_key={key}");
    let read = format!("GET /api/v1/users/current{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.ask(read).await.status, 200);
    // Elsewhere the query is not looked at.
    for (target, code) in [
        (format!("/v1/events{query}"), "unauthenticated"),
        (format!("{ONE}?api_key={key}x"), "unauthenticated"),
        (format!("{ONE}?api_key="), "unauthenticated"),
        (format!("/users/current/heartbeats{query}"), "not_found"),
        (format!("/{key}/heartbeats"), "not_found"),
        (format!("{ONE}%3Fapi_key={key}"), "not_found"),
    ] {
        problem(&client.ask(post(&target, "")).await, code);
    }
    let refused = client
        .ask(post(
            &format!("{ONE}{query}"),
            "authorization: Bearer x\r\n",
        ))
        .await;
    problem(&refused, "unauthenticated");
    let refused = client
        .ask(format!("DELETE {ONE}{query} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    problem(&refused, "method_not_allowed");
    let get = client
        .ask(format!(
            "GET /v1/metrics/daily{query} HTTP/1.1\r\nhost: x\r\n\r\n"
        ))
        .await;
    problem(&get, "unauthenticated");
    // Nor by what is no request, or one too large.
    for broken in [
        format!("POST {ONE}{query} HTTP/9.9\r\n\r\n"),
        format!("POST {ONE}{query} HTTP/1.1\r\nbad header\r\n\r\n"),
        format!(
            "POST {ONE}{query}&x={} HTTP/1.1\r\nhost: x\r\n\r\n",
            "y".repeat(100_000)
        ),
    ] {
        assert!((400..=431).contains(&client.ask(broken).await.status));
    }
    let stream = tokio::net::TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .unwrap();
    let (send, connection): (h2::client::SendRequest<Bytes>, _) =
        h2::client::handshake(stream).await.unwrap();
    let served = tokio::spawn(connection);
    for (path, status) in [
        (ONE, 201),
        ("/v1/events", 401),
        ("/users/current/heartbeats", 404),
    ] {
        let request = http::Request::post(format!("{url}{path}{query}"))
            .body(())
            .unwrap();
        let mut send = send.clone().ready().await.unwrap();
        let (response, mut body) = send.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(HEARTBEAT.as_bytes()), true)
            .unwrap();
        assert_eq!(response.await.unwrap().status(), status, "{path}");
    }
    drop(send);
    served.abort();
    let completed = "SELECT count(*) FROM batches WHERE state = 'completed'";
    until("a worker has done with them", async || {
        (deployment.database.count(completed).await > 0).then_some(())
    })
    .await;
    let last = client
        .ask(post(
            &format!("{ONE}?api_key=nobody"),
            "x-correlation-id: the-last\r\n",
        ))
        .await;
    problem(&last, "unauthenticated");
    until("the last is logged", async || {
        deployment
            .log("collector")
            .contains("the-last")
            .then_some(())
    })
    .await;
    for name in ["collector", "all", "nats"] {
        let log = deployment.log(name);
        for secret in forms
            .iter()
            .chain([&key[..18].to_owned(), &encoded[..24].to_owned()])
        {
            assert!(
                !log.contains(secret.as_str()),
                "{secret} is in the log of {name}"
            );
        }
        assert!(!log.contains("api_key="), "a query is in the log of {name}");
    }
    let is_line = |line: &str| serde_json::from_str::<Value>(line).is_ok();
    assert!(deployment.log("collector").lines().all(is_line));
}
