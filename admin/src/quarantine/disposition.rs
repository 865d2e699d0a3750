//! What would become of quarantined events, were they admitted now. Pure.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;
use store::{QuarantinedBatch, QuarantinedEvent};
use types::admission::EventValidator;
use types::batch::EventMetadata;
use types::event::EventHead;
use types::formats::{Format, ParsedEvent};
use types::id::EventRef;
use types::schema::Schemas;
use types::time::{self, rfc3339};
use types::verdict::Code;

use crate::output::{plain, written_time};

/// What would become of a quarantined event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It fits: with its effective time and local day.
    Fits(EventMetadata),
    /// The same event is stored already, here.
    Stored(EventRef),
    /// An event of its id was readmitted, and is not stored yet.
    Pending,
    /// It stays in quarantine.
    Stays {
        /// Why.
        code: Code,
        /// Place in the event.
        pointer: Option<String>,
        /// For people.
        detail: String,
    },
}

/// What would become, or became, of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "becomes", rename_all = "snake_case")]
pub enum DispositionView {
    /// It fits; with its effective time and local day.
    Readmitted {
        effective_at: String,
        local_day: String,
    },
    /// The same event is stored already.
    Stored {
        #[serde(rename = "as")]
        at: String,
    },
    /// An event of its id was readmitted, and is not stored yet.
    #[serde(rename = "on_the_way")]
    Pending,
    /// It stays in quarantine.
    Stays {
        code: &'static str,
        pointer: Option<String>,
        detail: String,
    },
}

impl From<&Disposition> for DispositionView {
    fn from(disposition: &Disposition) -> Self {
        match disposition {
            Disposition::Fits(note) => Self::Readmitted {
                effective_at: note.at.map(rfc3339).unwrap_or_default(),
                local_day: note.day.clone().unwrap_or_default(),
            },
            Disposition::Stored(at) => Self::Stored { at: at.to_string() },
            Disposition::Pending => Self::Pending,
            Disposition::Stays {
                code,
                pointer,
                detail,
            } => Self::Stays {
                code: code.as_str(),
                pointer: pointer.clone(),
                detail: detail.clone(),
            },
        }
    }
}

impl DispositionView {
    /// In words.
    pub fn words(&self) -> String {
        plain(&match self {
            Self::Readmitted {
                effective_at,
                local_day,
            } => {
                let at = written_time(effective_at);
                format!("fits, at {at} (local day {local_day})")
            }
            Self::Stored { at } => format!("stored already, as {at}"),
            Self::Pending => "an event of its id is on the way to the store".to_owned(),
            Self::Stays {
                code,
                pointer,
                detail,
            } => match pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
                Some(pointer) => format!("stays: {code} at {pointer}: {detail}"),
                None => format!("stays: {code}: {detail}"),
            },
        })
    }
}

/// Events that were readmitted and are not stored yet, by developer and id.
#[derive(Debug, Default)]
pub struct PendingReadmissions(HashSet<(String, String)>);

impl PendingReadmissions {
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

/// The disposition of each event of the batch, in its order: admission runs again with the receipt time, the clock
/// and the zone of the first admission, and the present schemas (contract).
pub fn dispositions(
    batch: &QuarantinedBatch,
    schemas: &Schemas,
    pending: &PendingReadmissions,
) -> Vec<Disposition> {
    let validator = EventValidator {
        schemas,
        format: Format::Envelope,
        schema_version: &batch.schema_version,
        skew: batch.skew,
        received_at: batch.received_at,
        zone: time::zone_of(batch.client.as_deref(), batch.zone.as_deref()),
    };
    let known: Vec<Option<Disposition>> = batch
        .events
        .iter()
        .map(|event| without_admission(batch, event, pending))
        .collect();
    let open = batch
        .events
        .iter()
        .zip(&known)
        .filter(|(_, known)| known.is_none());
    let texts = open
        .filter_map(|(event, _)| event_text(event))
        .map(|raw| ParsedEvent::Text(raw.get().into()));
    let mut notes = validator
        .validate_all(&texts.collect::<Vec<_>>())
        .into_iter();
    known
        .into_iter()
        .map(|known| {
            known
                .or_else(|| notes.next().map(by_note))
                .unwrap_or_else(damaged)
        })
        .collect()
}

/// The event's exact text; `None` if it is no JSON, which no admission keeps.
pub fn event_text(event: &QuarantinedEvent) -> Option<&RawValue> {
    serde_json::from_slice::<&RawValue>(&event.body)
        .ok()
        .filter(|raw| raw.get().len() == event.body.len())
}

/// The event's type, if it has one.
pub fn event_type(event: &QuarantinedEvent) -> Option<String> {
    EventHead::parse(std::str::from_utf8(&event.body).ok()?)
        .ok()?
        .kind()
}

/// What needs no validation.
fn without_admission(
    batch: &QuarantinedBatch,
    event: &QuarantinedEvent,
    pending: &PendingReadmissions,
) -> Option<Disposition> {
    let conflict = |detail| Disposition::Stays {
        code: Code::IdConflict,
        pointer: Some("/id".to_owned()),
        detail,
    };
    match event.owner {
        Some(held) if held.same => Some(Disposition::Stored(held.by)),
        Some(held) => Some(conflict(format!(
            "event {} holds the id with other content",
            held.by
        ))),
        None if event.code == Code::IdConflict => Some(conflict(
            "an event with other content held the id".to_owned(),
        )),
        None if event_text(event).is_none() => Some(damaged()),
        None => pending
            .has(&batch.developer, event.id.as_deref())
            .then_some(Disposition::Pending),
    }
}

fn damaged() -> Disposition {
    let detail = "what the store holds of the event is no JSON".to_owned();
    Disposition::Stays {
        code: Code::NotAnObject,
        pointer: None,
        detail,
    }
}

fn by_note(note: EventMetadata) -> Disposition {
    match note.code {
        None => Disposition::Fits(note),
        // The same event twice in the batch: the first one goes.
        Some(Code::DuplicateId) => Disposition::Pending,
        Some(code @ Code::IdConflict) => {
            let detail = "another event of its batch has the id and other content".to_owned();
            Disposition::Stays {
                code,
                pointer: note.pointer,
                detail,
            }
        }
        Some(code) => Disposition::Stays {
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
            again: false,
            times: 1,
            last_received_at: None,
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
            zone: None,
            events: (0..).zip(bodies).map(event).collect(),
        }
    }

    pub fn coffee(id: &str, data: &str) -> String {
        format!(
            r#"{{"id": "{id}", "type": "coffee.brewed", "occurred_at": "2026-03-01T23:50:00Z", "data": {data}}}"#
        )
    }

    fn code(disposition: &Disposition) -> Option<Code> {
        match disposition {
            Disposition::Stays { code, .. } => Some(*code),
            Disposition::Fits(_) | Disposition::Stored(_) | Disposition::Pending => None,
        }
    }

    #[test]
    fn what_fits_now_has_the_time_and_day_of_then() {
        let good = coffee("e1", r#"{"cups": 2}"#);
        let bad = coffee("e2", "{}");
        let batch = batch(&[&good, &bad, &good]);
        let dispositions = dispositions(&batch, &with_coffee(), &PendingReadmissions::default());
        let Disposition::Fits(note) = &dispositions[0] else {
            panic!("{dispositions:?}")
        };
        // 23:50 by a clock that is an hour fast: 23:50 in Berlin, on the day before.
        assert_eq!(
            time::rfc3339(note.at.unwrap()),
            "2026-03-01T22:50:00.000000Z"
        );
        assert_eq!(note.day.as_deref(), Some("2026-03-01"));
        assert_eq!(code(&dispositions[1]), Some(Code::SchemaInvalid));
        assert_eq!(
            dispositions[2],
            Disposition::Pending,
            "the same event twice goes once"
        );
        let without =
            super::dispositions(&batch, &Schemas::builtin(), &PendingReadmissions::default());
        assert!(
            without
                .iter()
                .all(|disposition| code(disposition) == Some(Code::TypeUnknown)),
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
        let disposition = |held: Option<bool>, was: Code| {
            let mut batch = batch(&[&text]);
            batch.events[0].owner = held.map(|same| IdOwner { by, same });
            batch.events[0].code = was;
            dispositions(&batch, &with_coffee(), &PendingReadmissions::default()).remove(0)
        };
        assert_eq!(
            disposition(Some(true), Code::TypeUnknown),
            Disposition::Stored(by)
        );
        assert_eq!(
            disposition(Some(true), Code::IdConflict),
            Disposition::Stored(by)
        );
        let conflict = disposition(Some(false), Code::TypeUnknown);
        let Disposition::Stays {
            code: Code::IdConflict,
            detail,
            ..
        } = &conflict
        else {
            panic!("{conflict:?}")
        };
        assert!(detail.contains("2:9:0"), "{detail}");
        assert_eq!(
            code(&disposition(None, Code::IdConflict)),
            Some(Code::IdConflict),
            "always"
        );
        assert!(matches!(
            disposition(None, Code::TimeImplausible),
            Disposition::Fits(_)
        ));
    }

    #[test]
    fn an_event_that_is_on_its_way_is_not_sent_again() {
        let texts = [
            coffee("e1", r#"{"cups": 2}"#),
            coffee("e2", r#"{"cups": 2}"#),
        ];
        let batch = batch(&[&texts[0], &texts[1]]);
        let mut pending = PendingReadmissions::default();
        pending.add("ada", "e1");
        pending.add("bob", "e2");
        let dispositions = dispositions(&batch, &with_coffee(), &pending);
        assert!(
            dispositions[0] == Disposition::Pending
                && matches!(dispositions[1], Disposition::Fits(_)),
            "{dispositions:?}"
        );
    }
}
