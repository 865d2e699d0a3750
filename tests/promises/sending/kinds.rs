//! What an input is written in, and what is wrong with it.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::{DevtrailUp, envelope, event, stderr_of};
use serde_json::{Value, json};

use super::{lines, send, stored};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str, is_big_endian: bool) -> Vec<u8> {
    let units = text.encode_utf16().map(|unit| match is_big_endian {
        true => unit.to_be_bytes(),
        false => unit.to_le_bytes(),
    });
    units.flatten().collect()
}

/// Two ids of an input's own.
fn ids(name: &str) -> [String; 2] {
    [1, 2].map(|number| format!("{name}-{number}"))
}

fn windows(name: &str) -> String {
    lines(ids(name)).replace('\n', "\r\n")
}

fn marked(name: &str) -> String {
    format!("\u{feff}{}", windows(name))
}

/// Two files that were put together, without an end of line between them.
fn together(name: &str) -> String {
    ids(name)
        .map(|id| format!("\u{feff}{}", event(&id)))
        .concat()
}

fn array(name: &str) -> Value {
    json!(ids(name).map(|id| event(&id)))
}

fn envelopes(name: &str) -> Value {
    json!(ids(name).map(|id| envelope(&id, &[event(&id)])))
}

/// Contract: send.encodings, send.compression, send.arrays, send.marks
#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_read_whatever_it_is_written_in() {
    let up = DevtrailUp::start().await;
    let inputs: Vec<(&str, Vec<u8>)> = vec![
        ("mark", marked("mark").into_bytes()),
        ("together", together("together").into_bytes()),
        ("utf16le", utf16(&marked("utf16le"), false)),
        ("utf16be", utf16(&marked("utf16be"), true)),
        ("unmarked-le", utf16(&windows("unmarked-le"), false)),
        ("unmarked-be", utf16(&windows("unmarked-be"), true)),
        ("gzip", gzip(windows("gzip").as_bytes())),
        (
            "zstd",
            zstd::encode_all(windows("zstd").as_bytes(), 0).unwrap(),
        ),
        ("gzip-utf16", gzip(&utf16(&marked("gzip-utf16"), false))),
        ("array", array("array").to_string().into_bytes()),
        ("pretty", format!("{:#}", array("pretty")).into_bytes()),
        (
            "envelopes",
            format!("{:#}", envelopes("envelopes")).into_bytes(),
        ),
    ];
    for (name, bytes) in &inputs {
        fs::write(up.path(name), bytes).unwrap();
        let (code, summary, error) = send(&up, name, &[]);
        assert!(
            code == Some(0) && summary["accepted"] == 2,
            "{name}: {code:?} {summary} {error}"
        );
    }
    let expected = inputs.iter().flat_map(|(name, _)| ids(name)).collect();
    up.until("all of them are stored", || {
        (stored(&up) == expected).then_some(())
    })
    .await;
    assert_eq!(up.verify()["stored"], expected.len());
}

/// Contract: send.heartbeats
#[tokio::test(flavor = "multi_thread")]
async fn the_offline_heartbeats_of_wakatime_are_read() {
    let up = DevtrailUp::start().await;
    // As `wakatime-cli --print-offline-heartbeats` prints them.
    let heartbeats = json!([
        {"branch": "main", "category": "coding", "entity": "/src/main.rs", "is_write": true, "language": "Rust",
         "lineno": 7, "project": "demo", "time": 1_763_600_000.5, "type": "file", "user_agent": "wakatime/1.90"},
        {"entity": "/src/lib.rs", "time": 1_763_600_060, "type": "file"},
    ]);
    fs::write(up.path("offline"), format!("{heartbeats:#}")).unwrap();
    for accepted in [2, 0] {
        let (code, summary, error) = send(&up, "offline", &[]);
        assert!(
            code == Some(0) && summary["received"] == 2,
            "{summary} {error}"
        );
        up.until("they are stored", || (stored(&up).len() == 2).then_some(()))
            .await;
        let sql = "SELECT count(*) FROM duplicates";
        up.until("the same again is a duplicate", || {
            (up.count(sql) == 2 - accepted).then_some(())
        })
        .await;
    }
    let id = stored(&up)
        .into_iter()
        .find(|id| up.kept(id).contains("main.rs"));
    let kept: Value = serde_json::from_str(&up.kept(&id.unwrap())).unwrap();
    assert_eq!(
        (&kept["type"], &kept["data"]["line"]),
        (&json!("heartbeat"), &json!(7))
    );
}

/// Contract: send.bad-lines, send.named, send.padding
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_named_and_its_neighbours_are_sent() {
    let up = DevtrailUp::start().await;
    let good = |id: &str| format!("{}\n", event(id)).into_bytes();
    let half = &event("half").to_string()[..40];
    let parts: Vec<Vec<u8>> = vec![
        good("e1"),
        format!("{half}\n").into_bytes(),
        good("e3"),
        [&[0; 300][..], &good("e4")].concat(), // what a power cut leaves before the next one
        [half.as_bytes(), &[0; 9], &good("e5")].concat(), // and in the middle of one
        b"{\"id\": \"caf\xe9\"}\n".to_vec(),
        good("e7"),
        format!("{{\"id\": \"{}\"}}\n", "x".repeat(9 << 20)).into_bytes(),
        good("e9"),
        b"2026-03-01 INFO started\n".to_vec(),
        b"{\"batch_id\": \"b\", \"events\": 3}\n".to_vec(), // an envelope that a collector refuses
        good("e12"),
        b"{\"id\":\"tail\"".to_vec(),
        vec![0; 100],
    ];
    fs::write(up.path("events"), parts.concat()).unwrap();
    let (code, summary, error) = send(&up, "events", &[]);
    assert_eq!(code, Some(1), "{summary} {error}");
    assert_eq!(
        (&summary["accepted"], &summary["passed_over"]),
        (&json!(7), &json!(7)),
        "{error}"
    );
    for part in [
        "line 2 ends before",
        "line 5 holds NUL bytes",
        "line 6 is no UTF-8",
        "line 8 is longer than 8 MiB",
        "line 10 holds something that is no JSON object",
        "line 11 was refused: 400",
        "line 13 holds NUL bytes",
        "7 bad lines were passed over",
    ] {
        assert!(error.contains(part), "{part:?}: {error}");
    }
    let expected = ["e1", "e3", "e4", "e5", "e7", "e9", "e12"];
    let expected = expected.map(str::to_owned).into();
    up.until("the others are stored", || {
        (stored(&up) == expected).then_some(())
    })
    .await;
    assert_eq!(up.verify()["stored"], 7);

    let many = [b"junk\n".repeat(1000), good("last")].concat();
    fs::write(up.path("many"), many).unwrap();
    let (code, summary, error) = send(&up, "many", &[]);
    assert_eq!((code, &summary["passed_over"]), (Some(1), &json!(1000)));
    assert_eq!(
        error.matches("it is passed over").count(),
        20,
        "each of the first, then their number: {error}"
    );
}

/// Contract: send.cut-off, send.other-kinds
#[tokio::test(flavor = "multi_thread")]
async fn what_holds_no_events_is_named_for_what_it_is() {
    let up = DevtrailUp::start().await;
    let whole = gzip(lines((0..3000).map(|id| format!("e{id}"))).as_bytes());
    fs::write(up.path("cut.gz"), &whole[..whole.len() / 2]).unwrap();
    let (code, summary, error) = send(&up, "cut.gz", &[]);
    let accepted = summary["accepted"].as_u64();
    assert!(
        code == Some(1) && accepted > Some(100) && accepted < Some(3000),
        "what is there is sent: {summary}"
    );
    assert!(
        error.contains("cut.gz cannot be read to its end"),
        "{error}"
    );
    let folder = up.path("nats").to_string_lossy().into_owned();
    let output = up.devtrail(&["send", &folder]);
    assert!(
        stderr_of(&output).contains("nats is a folder"),
        "{}",
        stderr_of(&output)
    );
    for (bytes, parts) in [
        (&b""[..], "holds no events"),
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"BZh91AY", "bunzip2 -c"),
        (b"SQLite format 3\0rest", "is a SQLite database"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"<!DOCTYPE html>\n", "is HTML"),
        (b"id,type\n1,file.saved\n", "holds no events but 2 bad ones"),
    ] {
        fs::write(up.path("other"), bytes).unwrap();
        let (code, _, error) = send(&up, "other", &[]);
        assert!(code == Some(1) && error.contains(parts), "{parts}: {error}");
    }
}

/// Contract: commands.text-files
#[tokio::test(flavor = "multi_thread")]
async fn files_of_windows_editors_are_read_wherever_one_is_named() {
    let up = DevtrailUp::start().await;
    let path = |name: &str| up.path(name).to_string_lossy().into_owned();
    let marked = |text: &str| format!("\u{feff}{text}\r\n");
    fs::write(up.path("events"), lines(["e1".to_owned()])).unwrap();
    let key = fs::read_to_string(up.path("api-key")).unwrap();
    for (name, bytes) in [
        ("marked.key", marked(key.trim()).into_bytes()),
        ("wide.key", utf16(&marked(key.trim()), false)),
    ] {
        fs::write(up.path(name), bytes).unwrap();
        let (code, _, error) = send(&up, "events", &["--key-file", &path(name)]);
        assert_eq!(code, Some(0), "{name}: {error}");
    }
    fs::write(up.path("people"), marked("ada\r\nbob")).unwrap();
    let made = up.devtrail(&["keys", "create", "--from-file", &path("people")]);
    let made = String::from_utf8(made.stdout).unwrap();
    fs::write(up.path("keys"), marked(&made.replace('\n', "\r\n"))).unwrap();
    let of_ada = json!({"developer": "ada", "event": event("e2")});
    fs::write(up.path("of-ada"), of_ada.to_string()).unwrap();
    let (code, _, error) = send(&up, "of-ada", &["--key-file", &path("keys")]);
    assert_eq!(code, Some(0), "{made} {error}");
    fs::write(up.path("settings"), marked("batch-size = 1")).unwrap();
    fs::write(up.path("two"), lines(["e3", "e4"].map(str::to_owned))).unwrap();
    let (_, summary, error) = send(&up, "two", &["--config", &path("settings")]);
    assert_eq!(summary["batches"], 2, "{error}");
}
