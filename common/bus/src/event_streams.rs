//! How many streams the batches are spread over: the server's streams say so by their names.

use async_nats::jetstream;
use serde::Deserialize;
use serde_json::json;

use crate::api::ApiError;
use crate::bind::BindError;
use crate::names::ResourceName;
use types::event_streams::{EVENTS, EventStream, EventStreams};

/// How many event streams the server has.
///
/// # Errors
/// Returns `Missing` if it has none, `MixedEventStreams` if their names contradict each other, and `Api` if the server
/// does not answer.
pub async fn event_streams(js: &jetstream::Context) -> Result<EventStreams, BindError> {
    let existing = existing_event_streams(js).await?;
    existing.ok_or_else(|| BindError::Missing(ResourceName::stream(EVENTS)))
}

/// The same; `None` if it has none.
///
/// # Errors
/// Returns `MixedEventStreams` if their names contradict each other, and `Api` if the server does not answer.
pub async fn existing_event_streams(
    js: &jetstream::Context,
) -> Result<Option<EventStreams>, BindError> {
    number_of(&stream_names(js).await?).map_err(BindError::MixedEventStreams)
}

/// A page of stream names, as the server's API gives it.
#[derive(Deserialize)]
struct NamesPage {
    total: usize,
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// The names of all streams. From the leader's own list: a stream without a leader is named as well.
async fn stream_names(js: &jetstream::Context) -> Result<Vec<String>, ApiError> {
    let failed = |reason: String| ApiError::new(ResourceName::stream(EVENTS), reason);
    let mut names = Vec::new();
    loop {
        let body = json!({"offset": names.len()});
        let page: Result<NamesPage, _> = js.request("STREAM.NAMES", &body).await;
        let page = page.map_err(|error| failed(error.to_string()))?;
        let more = page.streams.unwrap_or_default();
        let is_last = more.is_empty();
        names.extend(more);
        if is_last || names.len() >= page.total {
            return Ok(names);
        }
    }
}

/// Of how many event streams these names are; `None` if none of them is one. A sentence if they contradict each other.
fn number_of(names: &[String]) -> Result<Option<EventStreams>, String> {
    let streams: Vec<EventStream> = names
        .iter()
        .filter_map(|name| EventStream::named(name))
        .collect();
    let Some(first) = streams.first().map(|stream| stream.streams()) else {
        return Ok(None);
    };
    if streams.iter().all(|stream| stream.streams() == first) {
        return Ok(Some(first));
    }
    let names: Vec<String> = streams.iter().map(ToString::to_string).collect();
    Err(format!(
        "The server has event streams of different numbers: {}. A developer's batches must all be in one of them. \
         Delete those that hold nothing (`nats stream rm STREAM`), and keep those with your batches.",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(names: &[&str]) -> Result<Option<u16>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(number_of(&names)?.map(EventStreams::number))
    }

    #[test]
    fn one_name_of_several_tells_their_number() {
        assert_eq!(number(&["JOBS", "KV_store"]), Ok(None));
        assert_eq!(number(&["JOBS", "EVENTS"]), Ok(Some(1)));
        assert_eq!(number(&["EVENTS-2-of-3", "JOBS"]), Ok(Some(3)));
    }

    #[test]
    fn streams_of_different_numbers_are_refused() {
        for names in [
            ["EVENTS", "EVENTS-0-of-3"],
            ["EVENTS-0-of-2", "EVENTS-0-of-3"],
        ] {
            let refusal = number(&names).unwrap_err();
            assert!(names.iter().all(|name| refusal.contains(name)), "{refusal}");
        }
    }
}
