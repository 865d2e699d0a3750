//! The OpenAPI description that a collector serves.

use harness::DevtrailUp;
use serde_json::Value;

/// Contract: routes.no-key, routes.openapi
#[tokio::test(flavor = "multi_thread")]
async fn the_interface_describes_itself_without_a_key() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let reply = client.get("/openapi.json").await;
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let described: Value = reply.json().await.unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    // The example of a batch, as it is, is taken.
    let example = &described["components"]["schemas"]["Envelope"]["examples"][0];
    assert_eq!(client.send(example).await["counts"]["accepted"], 1);
    for (path, operations) in described["paths"].as_object().unwrap() {
        if operations["get"].is_object()
            && operations["get"].get("security").is_none()
            && !path.contains('{')
        {
            assert_eq!(client.get(path).await.status(), 200, "{path}");
        }
    }
}

/// Contract: routes.print-openapi
#[tokio::test(flavor = "multi_thread")]
async fn the_program_prints_what_it_serves() {
    let up = DevtrailUp::start().await;
    let served = up.client().get("/openapi.json").await.text().await.unwrap();
    let printed = std::process::Command::new(harness::program("devtrail-collector"))
        .arg("--print-openapi")
        .output();
    let printed = printed.unwrap();
    assert!(printed.status.success());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), served);
    let copy = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    assert_eq!(std::fs::read_to_string(copy).unwrap(), served);
}
