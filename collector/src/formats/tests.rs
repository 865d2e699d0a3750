//! Which format a request announces.

use super::*;

fn of(headers: &[(&'static str, &'static str)]) -> Result<Format, ErrorCode> {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Format::of(&headers.collect()).map_err(|problem| problem.code)
}

#[test]
fn the_content_type_says_the_format_and_ce_headers_say_binary() {
    let kind = |value: &'static str| of(&[("content-type", value)]);
    assert_eq!(kind("application/json"), Ok(Format::Envelope));
    assert_eq!(kind("Application/JSON; charset=utf-8"), Ok(Format::Envelope));
    assert_eq!(kind("application/x-ndjson"), Ok(Format::Ndjson));
    assert_eq!(kind("application/cloudevents+json; charset=UTF-8"), Ok(Format::CloudEvent));
    assert_eq!(kind("application/cloudevents-batch+json"), Ok(Format::CloudEvents));
    for other in [
        "text/plain",
        "",
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/merge+json",
    ] {
        assert_eq!(kind(other), Err(ErrorCode::UnsupportedMediaType), "{other}");
    }
    let binary = |value: &'static str| of(&[("content-type", value), ("ce-specversion", "1.0")]);
    assert_eq!(binary("application/json"), Ok(Format::BinaryCloudEvent));
    assert_eq!(binary("application/vnd.devtrail+json"), Ok(Format::BinaryCloudEvent));
    assert_eq!(of(&[("ce-id", "1")]), Ok(Format::BinaryCloudEvent));
    assert_eq!(binary("application/cloudevents+json"), Ok(Format::CloudEvent));
    for other in ["text/plain", "application/cloudevents+avro+json", "application/x-ndjson"] {
        let expected =
            if other.ends_with("ndjson") { Ok(Format::Ndjson) } else { Err(ErrorCode::UnsupportedMediaType) };
        assert_eq!(binary(other), expected, "{other}");
    }
    assert_eq!(of(&[]), Err(ErrorCode::UnsupportedMediaType));
}
