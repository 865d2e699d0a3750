//! The address that is given to `--url`.

use std::fs;

use harness::{DevtrailUp, event};

use super::{lines, send, stored};

/// Contract: send.address
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_a_route_is_taken_for_the_collectors() {
    let up = DevtrailUp::start().await;
    let url = up.address("collector");
    for (number, path) in ["/", "/v1/events", "/v1/events/", "//v1", "/api/v1"]
        .into_iter()
        .enumerate()
    {
        let id = format!("e{number}");
        fs::write(up.path("event"), lines([id.clone()])).unwrap();
        let (code, _, error) = send(&up, "event", &["--url", &format!("{url}{path}")]);
        assert_eq!(code, Some(0), "{path}: {error}");
        up.until("it is stored", || stored(&up).contains(&id).then_some(()))
            .await;
    }
    fs::write(up.path("event"), event("e1").to_string()).unwrap();
    let secure = url.replace("http://", "https://");
    for (address, code, part) in [
        (format!("{url}/v1/events?api_key=s3cret"), 2, "has a query"),
        (format!("{url}/#s3cret"), 2, "has a fragment"),
        (
            url.replace("http://", "http://ada:s3cret@") + "/elsewhere",
            1,
            "Is it the collector's address?",
        ),
        (secure, 1, "Write http:// instead of https://"),
    ] {
        let (found, _, error) = send(&up, "event", &["--url", &address, "--give-up-after", "1s"]);
        assert!(
            found == Some(code) && error.contains(part) && !error.contains("s3cret"),
            "{address}: {found:?} {error}"
        );
    }
}
