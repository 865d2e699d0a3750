//! Dead letters: what gave up goes to the DEAD stream, whole, before it is terminated.

use std::time::Duration;

use async_nats::jetstream::{self, message::PublishMessage};
use async_nats::{HeaderMap, HeaderValue, header};

use crate::pull::{About, Delivery, GivenUp};
use types::id::Src;
use types::json::shorten;

/// Longest reason kept in a header, in bytes: the context is bounded, the payload is not.
const MAX_REASON: usize = 1024;
/// Longest list of event ids kept in a header, in bytes.
const MAX_EVENT_IDS: usize = 4096;
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The subject of what `consumer` of `stream` gave up on.
#[must_use]
pub fn dead_subject(stream: &str, consumer: &str) -> String {
    format!("dead.{stream}.{consumer}")
}

/// Why a message is given up, and what is known of it.
pub(super) struct Context<'a> {
    /// The number of its stream's life in the store.
    pub src: Src,
    /// What is known of it.
    pub about: &'a About,
    /// Why.
    pub given_up: &'a GivenUp,
    /// Who gives it up.
    pub actor: &'a str,
}

/// Publishes `message` to DEAD and awaits the PubAck. Only then may it be terminated: in a work queue
/// that deletes it.
///
/// # Errors
/// Where DEAD did not take it.
pub(super) async fn publish(
    js: &jetstream::Context,
    (stream, consumer): (&str, &str),
    message: &Delivery,
    context: &Context<'_>,
) -> Result<(), async_nats::Error> {
    let Delivery {
        seq,
        published_at,
        subject,
        payload,
        ..
    } = message;
    let mut headers = headers(&message.headers, context);
    headers.insert("Devtrail-Stream-Sequence", seq.to_string());
    headers.insert("Devtrail-Subject", one_line(subject));
    headers.insert("Devtrail-Delivered", message.delivered.to_string());
    headers.insert(
        header::NATS_MESSAGE_ID,
        format!("{stream}:{consumer}:{seq}:{published_at}"),
    );
    let publish = PublishMessage::build()
        .payload(payload.clone())
        .headers(headers);
    let ack = js
        .send_publish(dead_subject(stream, consumer), publish)
        .await?;
    tokio::time::timeout(ACK_TIMEOUT, ack).await??;
    Ok(())
}

/// Headers of a dead letter that say why and where it gave up (`docs/contract.md`, "In NATS"); all others are its own.
pub const DEAD_LETTER_HEADERS: [&str; 13] = [
    "Devtrail-Msg-Id",
    "Devtrail-Reason",
    "Devtrail-Stream-Sequence",
    "Devtrail-Subject",
    "Devtrail-Attempts",
    "Devtrail-Delivered",
    "Devtrail-Blame",
    "Devtrail-State",
    "Devtrail-Src",
    "Devtrail-Batch",
    "Devtrail-Developer",
    "Devtrail-Event-Ids",
    "Devtrail-Actor",
];

/// The message's own headers and the context. What the server would take as orders (`Nats-…`) is left
/// out; the message id stays readable under another name, DEAD has its own deduplication.
fn headers(own: &HeaderMap, context: &Context<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in own.iter() {
        if !name.to_string().to_ascii_lowercase().starts_with("nats-") {
            values
                .iter()
                .for_each(|value| headers.append(name.clone(), value.clone()));
        }
    }
    let id = own
        .get(header::NATS_MESSAGE_ID)
        .map(|id| id.as_str().to_owned());
    let Context {
        src,
        about,
        given_up,
        actor,
    } = context;
    let state = about.state.map_or("none", types::job::BatchState::as_str);
    let event_ids = (!about.event_ids.is_empty()).then(|| listed(&about.event_ids));
    let context = [
        ("Devtrail-Msg-Id", id),
        (
            "Devtrail-Reason",
            Some(shorten(&given_up.reason, MAX_REASON)),
        ),
        ("Devtrail-Attempts", Some(given_up.attempts.to_string())),
        ("Devtrail-Blame", Some(given_up.error_class.to_owned())),
        ("Devtrail-State", Some(state.to_owned())),
        ("Devtrail-Src", Some(src.to_string())),
        ("Devtrail-Batch", about.batch.map(|batch| batch.to_string())),
        ("Devtrail-Developer", about.developer.clone()),
        ("Devtrail-Event-Ids", event_ids),
        ("Devtrail-Actor", Some((*actor).to_owned())),
    ];
    for (name, value) in context {
        if let Some(value) = value {
            headers.insert(name, one_line(&value));
        }
    }
    headers
}

/// The ids with commas between, so that one with a comma in it stays one: `%2C`, and `%` itself is `%25`.
/// At most so many that the header stays within its bound, then `…`.
fn listed(ids: &[String]) -> String {
    let mut list = String::new();
    for id in ids {
        let id = id.replace('%', "%25").replace(',', "%2C");
        if list.len() + id.len() + ",…".len() >= MAX_EVENT_IDS {
            list.push('…');
            break;
        }
        list.push_str(&id);
        list.push(',');
    }
    list.strip_suffix(',').map_or(list.clone(), str::to_owned)
}

/// A header is one line.
fn one_line(text: &str) -> HeaderValue {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    HeaderValue::from(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::id::BatchRef;
    use types::job::BatchState;

    fn context_headers(own: &HeaderMap, about: &About) -> HeaderMap {
        let reason = "event 3: \"no\r\nNats-Rollup: all\"".to_owned();
        let given_up = GivenUp {
            error_class: "unknown",
            reason,
            attempts: 8,
        };
        headers(
            own,
            &Context {
                src: 2,
                about,
                given_up: &given_up,
                actor: "worker/1",
            },
        )
    }

    fn text<'a>(headers: &'a HeaderMap, name: &'a str) -> Option<&'a str> {
        headers.get(name).map(|value| value.as_str())
    }

    #[test]
    fn context_is_added_and_no_order_to_the_server_is_carried_over() {
        let mut own = HeaderMap::new();
        for (name, value) in [
            ("Nats-Msg-Id", "1:2:alert"),
            ("Nats-Rollup", "all"),
            ("nats-expected-stream", "EVENTS"),
            ("traceparent", "00-1"),
        ] {
            own.append(name, value);
        }
        let about = About {
            batch: Some(BatchRef { src: 1, seq: 7 }),
            state: Some(BatchState::Triggered),
            developer: Some("ada".to_owned()),
            event_ids: vec!["a,1".to_owned(), "b%2C".to_owned()],
            ..About::default()
        };
        let headers = context_headers(&own, &about);
        let wanted = [
            ("traceparent", "00-1"),
            ("Devtrail-Msg-Id", "1:2:alert"),
            ("Devtrail-Reason", "event 3: \"no  Nats-Rollup: all\""),
            ("Devtrail-Attempts", "8"),
            ("Devtrail-Blame", "unknown"),
            ("Devtrail-State", "triggered"),
            ("Devtrail-Src", "2"),
            ("Devtrail-Batch", "1:7"),
            ("Devtrail-Developer", "ada"),
            ("Devtrail-Event-Ids", "a%2C1,b%252C"),
            ("Devtrail-Actor", "worker/1"),
        ];
        for (name, value) in wanted {
            assert_eq!(text(&headers, name), Some(value), "{name}");
        }
        let added = wanted.iter().filter(|(name, _)| *name != "traceparent");
        let place = [
            "Devtrail-Stream-Sequence",
            "Devtrail-Subject",
            "Devtrail-Delivered",
        ];
        let mut of_death: Vec<&str> = added.map(|(name, _)| *name).chain(place).collect();
        let mut told = DEAD_LETTER_HEADERS.to_vec();
        of_death.sort_unstable();
        told.sort_unstable();
        assert_eq!(
            told, of_death,
            "what is not of its death would go out again as the message's own"
        );
        assert_eq!(headers.len(), wanted.len(), "{headers:?}");
    }

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_long_is_cut() {
        let headers = context_headers(&HeaderMap::new(), &About::default());
        assert_eq!(
            (
                text(&headers, "Devtrail-State"),
                text(&headers, "Devtrail-Batch")
            ),
            (Some("none"), None)
        );
        let about = About {
            event_ids: vec!["x".repeat(128); 100],
            ..About::default()
        };
        let headers = context_headers(&HeaderMap::new(), &about);
        let ids = text(&headers, "Devtrail-Event-Ids").unwrap();
        assert!(
            ids.len() <= MAX_EVENT_IDS && ids.ends_with(",…"),
            "{}",
            ids.len()
        );
        assert_eq!(ids.matches(',').count(), 31);
    }
}
