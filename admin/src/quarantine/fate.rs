//! What would become of quarantined events, were they admitted now. Pure.

use std::collections::HashSet;

use serde_json::value::RawValue;
use store::{QuarantinedBatch, QuarantinedEvent};
use types::admission::EventValidator;
use types::batch::EventMetadata;
use types::event::EventHead;
use types::formats::{Format, ParsedEvent};
use types::id::EventRef;
use types::schema::Schemas;
use types::time;
use types::verdict::Code;

/// What would become of a quarantined event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It fits: with its effective time and local day.
    Fits(EventMetadata),
    /// The same event is stored already, here.
    Stored(EventRef),
    /// An event of its id was readmitted, and is not stored yet.
    OnTheWay,
    /// It stays in quarantine.
    Stays {
        /// Why.
        code: Code,
        /// Where in the event.
        pointer: Option<String>,
        /// For people.
        detail: String,
    },
}

/// Events that were readmitted and are not stored yet, by developer and id.
#[derive(Debug, Default)]
pub struct OnTheWay(HashSet<(String, String)>);

impl OnTheWay {
    /// Notes one.
    pub fn add(&mut self, developer: &str, id: &str) {
        self.0.insert((developer.to_owned(), id.to_owned()));
    }

    fn has(&self, developer: &str, id: Option<&str>) -> bool {
        // Most often there is nothing: no names are copied then.
        !self.0.is_empty()
            && id.is_some_and(|id| self.0.contains(&(developer.to_owned(), id.to_owned())))
    }
}

/// The fate of each event of the batch, in its order: admission runs again with the receipt, the clock and
/// the zone of then, and the schemas of now (contract).
pub fn fates(batch: &QuarantinedBatch, schemas: &Schemas, on_the_way: &OnTheWay) -> Vec<Fate> {
    let validator = EventValidator {
        schemas,
        format: Format::Envelope,
        schema_version: &batch.schema_version,
        skew: batch.skew,
        received_at: batch.received_at,
        zone: batch.client.as_deref().and_then(time::client_zone),
    };
    let known: Vec<Option<Fate>> = batch
        .events
        .iter()
        .map(|event| decided(batch, event, on_the_way))
        .collect();
    let open = batch
        .events
        .iter()
        .zip(&known)
        .filter(|(_, known)| known.is_none());
    let texts = open
        .filter_map(|(event, _)| text(event))
        .map(|raw| ParsedEvent::Text(raw.get().into()));
    let mut notes = validator
        .validate_all(&texts.collect::<Vec<_>>())
        .into_iter();
    known
        .into_iter()
        .map(|known| {
            known
                .or_else(|| notes.next().map(judged))
                .unwrap_or_else(damaged)
        })
        .collect()
}

/// The event's exact text; `None` where it is no JSON, which no admission keeps.
pub fn text(event: &QuarantinedEvent) -> Option<&RawValue> {
    serde_json::from_slice::<&RawValue>(&event.body)
        .ok()
        .filter(|raw| raw.get().len() == event.body.len())
}

/// The event's type, where it has one.
pub fn kind(event: &QuarantinedEvent) -> Option<String> {
    EventHead::parse(std::str::from_utf8(&event.body).ok()?)
        .ok()?
        .kind()
}

/// What needs no validation.
fn decided(
    batch: &QuarantinedBatch,
    event: &QuarantinedEvent,
    on_the_way: &OnTheWay,
) -> Option<Fate> {
    let conflict = |detail| Fate::Stays {
        code: Code::IdConflict,
        pointer: Some("/id".to_owned()),
        detail,
    };
    match event.owner {
        Some(held) if held.same => Some(Fate::Stored(held.by)),
        Some(held) => Some(conflict(format!(
            "event {} holds the id with other content",
            held.by
        ))),
        None if event.code == Code::IdConflict => Some(conflict(
            "an event with other content held the id".to_owned(),
        )),
        None if text(event).is_none() => Some(damaged()),
        None => on_the_way
            .has(&batch.developer, event.id.as_deref())
            .then_some(Fate::OnTheWay),
    }
}

fn damaged() -> Fate {
    let detail = "what the store holds of the event is no JSON".to_owned();
    Fate::Stays {
        code: Code::NotAnObject,
        pointer: None,
        detail,
    }
}

fn judged(note: EventMetadata) -> Fate {
    match note.code {
        None => Fate::Fits(note),
        // The same event twice in the batch: the first one goes.
        Some(Code::DuplicateId) => Fate::OnTheWay,
        Some(code @ Code::IdConflict) => {
            let detail = "another event of its batch has the id and other content".to_owned();
            Fate::Stays {
                code,
                pointer: note.pointer,
                detail,
            }
        }
        Some(code) => Fate::Stays {
            code,
            pointer: note.pointer,
            detail: note.detail.unwrap_or_else(|| code.as_str().to_owned()),
        },
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;
    use store::IdOwner;
    use types::id::BatchRef;
    use types::schema::{SchemaFile, Version};
    use types::stream::StreamIncarnation;
    use types::time::{SECOND, parse_rfc3339};

    use super::*;

    /// A schema of `coffee.brewed`, which needs `data.cups`.
    pub fn with_coffee() -> Schemas {
        let schema = json!({"type": "object", "required": ["id", "type", "occurred_at", "data"],
            "properties": {"type": {"const": "coffee.brewed"}, "data": {"required": ["cups"]}}});
        let file = SchemaFile {
            path: "1.0/coffee.brewed.json".to_owned(),
            version: Version { major: 1, minor: 0 },
            kind: "coffee.brewed".to_owned(),
            text: schema.to_string(),
        };
        Schemas::builtin().extended(&[file]).unwrap()
    }

    /// Coffees that were quarantined as of an unknown type: an hour of clock skew, on a Berlin evening.
    pub fn batch(bodies: &[&str]) -> QuarantinedBatch {
        let received_at = parse_rfc3339("2026-03-01T23:10:00Z")
            .and_then(|written| written.at)
            .unwrap();
        let event = |(ordinal, body): (u32, &&str)| QuarantinedEvent {
            ordinal,
            id: EventHead::parse(body).unwrap().id(),
            code: Code::TypeUnknown,
            pointer: Some("/type".to_owned()),
            detail: None,
            body: body.as_bytes().to_vec(),
            hash: types::event::hash(body.as_bytes()),
            owner: None,
        };
        QuarantinedBatch {
            at: BatchRef { src: 2, seq: 7 },
            incarnation: StreamIncarnation {
                name: "EVENTS".to_owned(),
                created: 5,
            },
            developer: "ada".to_owned(),
            batch_id: "b1".to_owned(),
            correlation_id: "c1".to_owned(),
            traceparent: "t1".to_owned(),
            schema_version: "1.0".to_owned(),
            sent_at: "2026-03-02T00:10:00Z".to_owned(),
            skew: 3600 * SECOND,
            received_at,
            collector: "devtrail-collector/2b".to_owned(),
            client: Some(br#"{"time_zone": "Europe/Berlin"}"#.to_vec()),
            events: (0..).zip(bodies).map(event).collect(),
        }
    }

    pub fn coffee(id: &str, data: &str) -> String {
        format!(
            r#"{{"id": "{id}", "type": "coffee.brewed", "occurred_at": "2026-03-01T23:50:00Z", "data": {data}}}"#
        )
    }

    fn code(fate: &Fate) -> Option<Code> {
        match fate {
            Fate::Stays { code, .. } => Some(*code),
            Fate::Fits(_) | Fate::Stored(_) | Fate::OnTheWay => None,
        }
    }

    #[test]
    fn what_fits_now_has_the_time_and_day_of_then() {
        let (good, bad) = (coffee("e1", r#"{"cups": 2}"#), coffee("e2", "{}"));
        let batch = batch(&[&good, &bad, &good]);
        let fates = fates(&batch, &with_coffee(), &OnTheWay::default());
        let Fate::Fits(note) = &fates[0] else {
            panic!("{fates:?}")
        };
        // 23:50 by a clock that is an hour fast: 23:50 in Berlin, on the day before.
        assert_eq!(
            time::rfc3339(note.at.unwrap()),
            "2026-03-01T22:50:00.000000Z"
        );
        assert_eq!(note.day.as_deref(), Some("2026-03-01"));
        assert_eq!(code(&fates[1]), Some(Code::SchemaInvalid));
        assert_eq!(fates[2], Fate::OnTheWay, "the same event twice goes once");
        let without = super::fates(&batch, &Schemas::builtin(), &OnTheWay::default());
        assert!(
            without
                .iter()
                .all(|fate| code(fate) == Some(Code::TypeUnknown)),
            "{without:?}"
        );
    }

    #[test]
    fn who_holds_the_id_goes_before_what_the_schemas_say() {
        let text = coffee("e1", r#"{"cups": 2}"#);
        let by = EventRef {
            src: 2,
            seq: 9,
            ordinal: 0,
        };
        let fate = |held: Option<bool>, was: Code| {
            let mut batch = batch(&[&text]);
            batch.events[0].owner = held.map(|same| IdOwner { by, same });
            batch.events[0].code = was;
            fates(&batch, &with_coffee(), &OnTheWay::default()).remove(0)
        };
        assert_eq!(fate(Some(true), Code::TypeUnknown), Fate::Stored(by));
        assert_eq!(fate(Some(true), Code::IdConflict), Fate::Stored(by));
        let conflict = fate(Some(false), Code::TypeUnknown);
        let Fate::Stays {
            code: Code::IdConflict,
            detail,
            ..
        } = &conflict
        else {
            panic!("{conflict:?}")
        };
        assert!(detail.contains("2:9:0"), "{detail}");
        assert_eq!(
            code(&fate(None, Code::IdConflict)),
            Some(Code::IdConflict),
            "always"
        );
        assert!(matches!(fate(None, Code::TimeImplausible), Fate::Fits(_)));
    }

    #[test]
    fn an_event_that_is_on_its_way_is_not_sent_again() {
        let texts = [
            coffee("e1", r#"{"cups": 2}"#),
            coffee("e2", r#"{"cups": 2}"#),
        ];
        let batch = batch(&[&texts[0], &texts[1]]);
        let mut on_the_way = OnTheWay::default();
        on_the_way.add("ada", "e1");
        on_the_way.add("bob", "e2");
        let fates = fates(&batch, &with_coffee(), &on_the_way);
        assert!(
            fates[0] == Fate::OnTheWay && matches!(fates[1], Fate::Fits(_)),
            "{fates:?}"
        );
    }
}
