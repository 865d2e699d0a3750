//! The supported versions of the schemas, and the length of texts.

use harness::event;
use serde_json::{Value, json};

use crate::support::{RawClient, fresh, shared};

/// Contract: types.common-members
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_data_have_up_to_4096_characters() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for name in [
        "project",
        "language",
        "path",
        "branch",
        "editor",
        "workspace",
    ] {
        for (length, code) in [(4096, ""), (4097, "schema_invalid")] {
            let mut one = event(&fresh("e"));
            // Characters, not bytes.
            one["data"][name] = json!("\u{1f600}".repeat(length));
            assert_eq!(
                client.verdict(&one.to_string()).await,
                code,
                "{name} of {length}"
            );
        }
    }
}

/// Contract: versions.supported, versions.newer-minor, versions.unknown
#[tokio::test(flavor = "multi_thread")]
async fn each_version_has_its_verdict() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (version, kind, flaky, code) in [
        ("1.0", "test.finished", json!(1), ""),
        ("1.1", "test.finished", json!(1), ""),
        ("1.1", "test.finished", json!(-1), "schema_invalid"),
        ("1.2", "test.finished", json!(1), ""),
        ("1.65535", "test.finished", json!(1), ""),
        (
            "1.2",
            "test.finished",
            json!(-1),
            "schema_version_unsupported",
        ),
        ("1.2", "coffee.brewed", json!(1), "type_unknown"),
        ("1.0", "coffee.brewed", json!(1), "type_unknown"),
        ("1.0", "", json!(1), "type_unknown"),
        ("1.0", "TEST.FINISHED", json!(1), "type_unknown"),
        (
            "0.9",
            "test.finished",
            json!(1),
            "schema_version_unsupported",
        ),
        (
            "2.0",
            "test.finished",
            json!(1),
            "schema_version_unsupported",
        ),
        (
            "99999.0",
            "test.finished",
            json!(1),
            "schema_version_unsupported",
        ),
        ("1", "test.finished", json!(1), "schema_version_unsupported"),
        (
            "1.0.0",
            "test.finished",
            json!(1),
            "schema_version_unsupported",
        ),
        (
            "1.00",
            "test.finished",
            json!(1),
            "schema_version_unsupported",
        ),
        (
            "v1.0",
            "test.finished",
            json!(1),
            "schema_version_unsupported",
        ),
        ("", "test.finished", json!(1), "schema_version_unsupported"),
    ] {
        let mut one = event(&fresh("e"));
        (one["type"], one["schema_version"]) = (json!(kind), json!(version));
        one["data"] = json!({"outcome": "passed", "flaky": flaky});
        let reply = client.validated(&[one.to_string()]).await;
        let exception = &reply["exceptions"][0];
        assert_eq!(
            exception["code"].as_str().unwrap_or_default(),
            code,
            "{one}"
        );
        let quarantined = ["type_unknown", "schema_version_unsupported"].contains(&code);
        assert_eq!(
            reply["counts"]["quarantined"],
            json!(u8::from(quarantined)),
            "{reply}"
        );
        let supported = if quarantined {
            json!(["1.0", "1.1"])
        } else {
            Value::Null
        };
        assert_eq!(exception["supported"], supported, "{exception}");
    }
}
