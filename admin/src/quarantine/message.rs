//! The EVENTS message of a readmitted batch. Pure.

use std::collections::BTreeMap;

use collector::publisher::EventsMessage;
use serde_json::value::RawValue;
use store::QuarantinedBatch;
use types::batch::{BatchOrigin, EventMetadata, FORMAT, Header, readmit_id};
use types::id::{BadDeveloperId, DeveloperId};
use types::time::Micros;

/// Who readmits, and when.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The developer's present epoch.
    pub epoch: u64,
    /// When the events were judged again.
    pub now: Micros,
    /// The program that does it.
    pub actor: &'a str,
}

/// An event that fits now.
#[derive(Debug)]
pub struct Fitting<'a> {
    /// Its index in the batch it was sent in.
    pub ordinal: u32,
    /// What admission found out.
    pub note: EventMetadata,
    /// Its exact text.
    pub text: &'a RawValue,
}

/// No message can be made of the batch.
#[derive(Debug, thiserror::Error)]
pub enum NoMessage {
    /// The store's developer is none.
    #[error(transparent)]
    Developer(#[from] BadDeveloperId),
    /// It cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The message: the events that fit, received when they were, with the batch they come from.
///
/// # Errors
/// Where the stored batch is damaged.
pub fn message(
    batch: &QuarantinedBatch,
    fitting: &[Fitting<'_>],
    occasion: Occasion<'_>,
) -> Result<EventsMessage, NoMessage> {
    let mut envelope = BTreeMap::new();
    if let Some(client) = &batch.client {
        envelope.insert(
            "client".to_owned(),
            serde_json::from_slice::<Box<RawValue>>(client)?,
        );
    }
    let header = Header {
        format: FORMAT,
        developer: batch.developer.parse::<DeveloperId>()?,
        epoch: occasion.epoch,
        batch_id: readmit_id(batch.at),
        correlation_id: batch.correlation_id.clone(),
        traceparent: batch.traceparent.clone(),
        schema_version: batch.schema_version.clone(),
        sent_at: batch.sent_at.clone(),
        received_at: batch.received_at,
        validated_at: occasion.now,
        collector: occasion.actor.to_owned(),
        skew: batch.skew,
        envelope,
        counts: fitting.iter().map(|one| one.note.verdict()).collect(),
        events: fitting.iter().map(|one| one.note.clone()).collect(),
        origin: Some(BatchOrigin {
            incarnation: batch.incarnation.clone(),
            seq: batch.at.seq,
            batch_id: batch.batch_id.clone(),
            collector: batch.collector.clone(),
            ordinals: fitting.iter().map(|one| one.ordinal).collect(),
        }),
    };
    let events: Vec<&str> = fitting.iter().map(|one| one.text.get()).collect();
    Ok(EventsMessage::of(&header, &events)?)
}

#[cfg(test)]
mod tests {
    use super::super::fate::tests::{batch, coffee, with_coffee};
    use super::super::fate::{Fate, OnTheWay, fates, text};
    use super::*;

    #[test]
    fn a_message_carries_what_its_origin_was_received_with_and_names_it() {
        let texts = [coffee("e1", "{}"), coffee("e2", r#"{ "cups" :  1 }"#)];
        let mut origin = batch(&[&texts[0], &texts[1]]);
        origin.events[1].ordinal = 4;
        let Fate::Fits(note) = fates(&origin, &with_coffee(), &OnTheWay::default()).remove(1)
        else {
            panic!("it fits")
        };
        let fitting = [Fitting {
            ordinal: 4,
            note,
            text: text(&origin.events[1]).unwrap(),
        }];
        let occasion = Occasion {
            epoch: 3,
            now: 99,
            actor: "devtrail/1a",
        };
        let message = message(&origin, &fitting, occasion).unwrap();
        assert!(
            message.id.starts_with("ada:3:readmit-2-7:"),
            "{}",
            message.id
        );
        assert_eq!(message.subject, "events.batch.ada");
        let batch = types::batch::decode(message.payload).unwrap();
        assert_eq!(
            batch.events().map(|(_, bytes)| bytes).collect::<Vec<_>>(),
            [texts[1].as_bytes()]
        );
        let header = &batch.header;
        assert_eq!(
            (header.received_at, header.skew, &header.sent_at),
            (origin.received_at, origin.skew, &origin.sent_at)
        );
        assert_eq!(
            header.envelope["client"].get(),
            r#"{"time_zone": "Europe/Berlin"}"#
        );
        let named = header.origin.as_ref().unwrap();
        assert_eq!(
            (named.seq, &*named.batch_id, &named.ordinals[..]),
            (7, "b1", &[4][..])
        );
        assert_eq!(
            (
                &*header.correlation_id,
                header.counts.accepted,
                header.validated_at
            ),
            ("c1", 1, 99)
        );
    }
}
