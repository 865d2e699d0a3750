//! The routes that need no key.

use harness::{Deployment, Engine, until};
use serde_json::{Value, json};

use crate::problem::problem;
use crate::support::{RawClient, shared};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// Contract: types.schemas, routes.no-key, routes.schemas, routes.schema
#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_listed_and_each_is_served_as_its_file() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let answer = client.ask(get("/v1/schemas")).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    let list = answer.json();
    assert_eq!(list["supported"], json!(["1.0", "1.1"]));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/schemas");
    let mut served = 0;
    for one in list["types"].as_array().unwrap() {
        let kind = one["type"].as_str().unwrap();
        for version in one["versions"].as_array().unwrap() {
            let version = version.as_str().unwrap();
            let answer = client
                .ask(get(&format!("/v1/schemas/{version}/{kind}")))
                .await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some("application/schema+json"))
            );
            let file = std::fs::read(folder.join(version).join(format!("{kind}.json"))).unwrap();
            assert_eq!(
                answer.json(),
                serde_json::from_slice::<Value>(&file).unwrap()
            );
            served += 1;
        }
        // Of a version that has no file of the type, the one that holds.
        let answer = client.ask(get(&format!("/v1/schemas/1.1/{kind}"))).await;
        assert_eq!(answer.json()["properties"]["type"]["const"], kind);
    }
    assert_eq!(served, 21);
}

/// Contract: routes.live, routes.ready
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_reports_whether_it_is_ready() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    for (path, status) in [("/health/live", "live"), ("/health/ready", "ready")] {
        let answer = client.ask(get(path)).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"status": status}))
        );
    }
    client.still_fine().await;
    deployment.kill("nats");
    let away = async || {
        let answer = client.ask(get("/health/ready")).await;
        (answer.status == 503).then(|| problem(&answer, "stream_unavailable"))
    };
    let body = until("the collector notices", away).await;
    assert!(body["detail"].as_str().unwrap().contains("NATS"), "{body}");
    assert_eq!(client.ask(get("/health/live")).await.status, 200);
}
