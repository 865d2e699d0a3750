//! Which format a request announces.

use super::*;

fn of(headers: &[(&'static str, &'static str)]) -> Result<Format, ()> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Format::of(&headers.collect()).map_err(drop)
}

#[test]
fn the_content_type_says_the_format_and_ce_headers_say_binary() {
    let kind = |value: &'static str| of(&[("content-type", value)]);
    assert_eq!(kind("application/json"), Ok(Format::Envelope));
    assert_eq!(
        kind("Application/JSON; charset=utf-8"),
        Ok(Format::Envelope)
    );
    assert_eq!(kind("application/x-ndjson"), Ok(Format::Ndjson));
    assert_eq!(
        kind("application/cloudevents+json; charset=UTF-8"),
        Ok(Format::CloudEvent)
    );
    assert_eq!(
        kind("application/cloudevents-batch+json"),
        Ok(Format::CloudEvents)
    );
    for other in [
        "text/plain",
        "",
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/merge+json",
    ] {
        assert_eq!(kind(other), Err(()), "{other}");
    }
    let binary = |value: &'static str| of(&[("content-type", value), ("ce-specversion", "1.0")]);
    assert_eq!(binary("application/json"), Ok(Format::BinaryCloudEvent));
    assert_eq!(
        binary("application/vnd.devtrail+json"),
        Ok(Format::BinaryCloudEvent)
    );
    assert_eq!(of(&[("ce-id", "1")]), Ok(Format::BinaryCloudEvent));
    assert_eq!(
        binary("application/cloudevents+json"),
        Ok(Format::CloudEvent)
    );
    for other in [
        "text/plain",
        "application/cloudevents+avro+json",
        "application/x-ndjson",
    ] {
        let expected = if other.ends_with("ndjson") {
            Ok(Format::Ndjson)
        } else {
            Err(())
        };
        assert_eq!(binary(other), expected, "{other}");
    }
    assert_eq!(of(&[]), Err(()));
}

/// Bodies of hundreds of thousands of members are not held as such: of each object and array only what may be taken.
#[test]
fn what_has_too_many_members_or_events_is_refused_as_it_is_read() {
    let developer = "ada".parse().unwrap();
    let headers = HeaderMap::new();
    let read = |format: Format, body: &str| {
        let received_at = 0;
        let max_events = 2;
        let request = BatchRequest {
            headers: &headers,
            body: body.as_bytes(),
            developer: &developer,
            received_at,
            max_events,
        };
        match format.read(&request) {
            Ok(submission) => match &submission.events[0] {
                ParsedEvent::Refused(_, refusal) => refusal.detail.clone(),
                ParsedEvent::Text(_) => "an event".to_owned(),
            },
            Err(error) => format!("{error:?}"),
        }
    };
    let large = format!("{{{}}}", vec!["\"\":0"; 600_000].join(","));
    for (format, detail) in [
        (
            Format::CloudEvent,
            "it has more than 100000 members, the limit",
        ),
        (
            Format::Heartbeats,
            "it has more than 100000 members, the limit",
        ),
    ] {
        assert_eq!(read(format, &large), detail);
    }
    assert!(read(Format::Envelope, &large).contains("it has more than 100000 members, the limit"));
    let many = format!("[{}]", vec!["7"; 600_000].join(","));
    for format in [Format::CloudEvents, Format::Heartbeats] {
        assert_eq!(read(format, &many), "TooManyEvents(600000)");
    }
    let envelope = format!(
        r#"{{"batch_id":"b","sent_at":"2026-03-01T09:15:02Z","schema_version":"1.0","events":{many}}}"#
    );
    assert_eq!(read(Format::Envelope, &envelope), "TooManyEvents(600000)");
}
