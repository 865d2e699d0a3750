//! Ids of batches and events: their length and their characters.

use harness::event;
use serde_json::{Value, json};

use crate::support::{RawClient, fresh, good, shared};

/// Ids, and whether they are any: of 0, 1, 128 and 129 characters, and with what is no printable ASCII.
fn cases() -> Vec<(String, bool)> {
    let long = |length: usize| {
        let id = fresh("id");
        let rest = "x".repeat(length - id.len());
        id + &rest
    };
    let mut cases = vec![
        (String::new(), false),
        (long(128), true),
        (long(129), false),
        (long(100_000), false),
    ];
    for good in ["!", "~", "\"", "\\", "%", "/", "<>&'", "a:b|c*>"] {
        cases.push((good.to_owned(), true));
    }
    for bad in [
        " ",
        "a b",
        " a",
        "a ",
        "\u{7f}",
        "\u{1f}",
        "\0",
        "a\0",
        "\n",
        "\u{e9}",
        "\u{1f600}",
        "\u{202e}",
        "\u{a0}",
    ] {
        cases.push((bad.to_owned(), false));
    }
    cases
}

/// Contract: event.ids
#[tokio::test(flavor = "multi_thread")]
async fn ids_have_1_to_128_printable_characters() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let made = cases();
    // Of events: one batch has them all, and each has its own verdict.
    let events: Vec<String> = made.iter().map(|(id, _)| event(id).to_string()).collect();
    let reply = client.validated(&events).await;
    let refused: Vec<u64> = reply["exceptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["index"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (0..)
        .zip(&made)
        .filter(|(_, (_, good))| !good)
        .map(|(index, _)| index)
        .collect();
    assert_eq!(refused, expected, "{reply}");
    for exception in reply["exceptions"].as_array().unwrap() {
        let message = (
            &exception["code"],
            &exception["verdict"],
            &exception["id"],
            &exception["pointer"],
        );
        assert_eq!(
            message,
            (
                &json!("id_invalid"),
                &json!("rejected"),
                &Value::Null,
                &json!("/id")
            ),
            "{exception}"
        );
    }
    // Of batches.
    for (id, good_one) in &made {
        let mut envelope: Value = serde_json::from_str(&good()).unwrap();
        envelope["batch_id"] = json!(id);
        if *good_one {
            assert_eq!(
                client.taken(envelope.to_string()).await["batch_id"],
                json!(id)
            );
        } else {
            let body = client
                .body_refused(envelope.to_string(), "invalid_envelope")
                .await;
            assert_eq!(body["pointer"], "/batch_id");
        }
    }
    client.still_fine().await;
}

/// What a batch is asked for by is its id, percent-encoded in the path.
///
/// Contract: errors.invalid_parameter
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_id_in_the_path_is_percent_encoded_and_checked() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let encoded = |id: &str| {
        id.bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
    };
    for (id, good_one) in cases()
        .into_iter()
        .filter(|(id, _)| !id.is_empty() && id.len() < 1000)
    {
        let answer = client.get(&format!("/v1/batches/{}", encoded(&id))).await;
        if good_one && answer.status == 200 {
            assert_eq!(answer.json()["batch_id"], json!(id));
        } else if good_one {
            crate::problem::problem(&answer, "batch_unknown");
        } else {
            let body = crate::problem::problem(&answer, "invalid_parameter");
            assert_eq!(body["parameter"], "batch_id", "{id:?}");
        }
    }
    for broken in ["%FF", "%C3%28", "%00", "%ED%A0%80"] {
        let body = client
            .refused(
                client.request("GET", &format!("/v1/batches/{broken}")),
                "invalid_parameter",
            )
            .await;
        assert_eq!(body["parameter"], "batch_id");
    }
    for unencoded in ["5%", "%4", "%zz", "a%"] {
        client
            .refused(
                client.request("GET", &format!("/v1/batches/{unencoded}")),
                "batch_unknown",
            )
            .await;
    }
}
