//! How a dead letter is redriven. Pure.

use bus::{JOBS, REPLAY};
use bytes::Bytes;
use types::batch;
use types::id::{BatchRef, MessageIdentity, Src};
use types::job::JobMessage;
use types::replay_pointer::{self, ReplayPointer};

use super::message::{DeadMessage, DeadPayload, is_event_stream};

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedrivePlan {
    /// A pointer to the message, which EVENTS still holds.
    Pointer(ReplayPointer),
    /// The job, under a new id.
    Job(Box<JobMessage>),
    /// The message as it is, on its subject.
    Unchanged(String),
}

/// What its event stream holds now of the message of a dead letter.
#[derive(Debug, Clone, Default)]
pub struct EventsView {
    /// The stream's name.
    pub stream: String,
    /// The number of its present incarnation in the store; `None` if the store has not seen it.
    pub src: Option<Src>,
    /// The message's payload; `None` if it is gone.
    pub message: Option<Bytes>,
}

impl EventsView {
    /// What the message says of itself; `None` if it is gone, or no batch.
    pub fn identity(&self) -> Option<MessageIdentity> {
        let batch = batch::decode(self.message.clone()?).ok()?;
        Some(batch.identity())
    }
}

/// The sequence in its event stream of the message that is dead: itself, or the one its pointer names.
pub fn events_sequence(dead: &DeadMessage) -> Option<u64> {
    match &dead.content {
        DeadPayload::Pointer(pointer) if pointer.is_redrive() => Some(pointer.at.seq),
        DeadPayload::Batch(_) | DeadPayload::Raw(_) if is_event_stream(&dead.letter.stream) => {
            dead.origin()
        }
        DeadPayload::Batch(_)
        | DeadPayload::Job(_)
        | DeadPayload::Pointer(_)
        | DeadPayload::Raw(_) => None,
    }
}

/// The message in its event stream, if that still holds it. If the dead letter names no incarnation, its message is the
/// one with the same payload.
pub fn message_in_events(dead: &DeadMessage, now: &EventsView) -> Result<BatchRef, String> {
    let (Some(seq), Some(src)) = (events_sequence(dead), now.src) else {
        return Err(
            "the store knows nothing of this incarnation of EVENTS: start a worker first"
                .to_owned(),
        );
    };
    let stream = &now.stream;
    let only_copy = "this dead letter is the only copy, `devtrail dead show` prints it";
    let pointer = match &dead.content {
        DeadPayload::Pointer(pointer) => Some(pointer),
        DeadPayload::Batch(_) | DeadPayload::Job(_) | DeadPayload::Raw(_) => None,
    };
    let named = pointer.map_or_else(|| dead.src(), |pointer| Some(pointer.at.src));
    if named.is_some_and(|named| named != src) {
        return Err(format!(
            "it is of an incarnation of {stream} that has ended (its number is not {src}): {only_copy}"
        ));
    }
    match &now.message {
        Some(payload) if pointer.is_some() || *payload == dead.payload => Ok(BatchRef { src, seq }),
        Some(_) => Err(format!(
            "{stream} holds another message at {seq}: {only_copy}"
        )),
        None => Err(format!(
            "{stream} no longer holds message {seq}: {only_copy}"
        )),
    }
}

/// How the dead letter is redriven, or why it stays.
pub fn plan(dead: &DeadMessage, now: &EventsView) -> Result<RedrivePlan, String> {
    if events_sequence(dead).is_some() {
        return message_in_events(dead, now)
            .map(|at| RedrivePlan::Pointer(ReplayPointer::redrive(at)));
    }
    let subject = dead.letter.subject.as_deref().unwrap_or_default();
    match (&dead.content, dead.letter.stream.as_str()) {
        (DeadPayload::Job(job), _) => Ok(RedrivePlan::Job(Box::new(job.redriven()))),
        (_, JOBS) if subject.starts_with("jobs.") => Ok(RedrivePlan::Unchanged(subject.to_owned())),
        (_, REPLAY) if subject == replay_pointer::SUBJECT => {
            Ok(RedrivePlan::Unchanged(subject.to_owned()))
        }
        _ => Err(format!(
            "it came from {} on the subject {subject:?}, where nothing is redriven",
            dead.letter.stream
        )),
    }
}

/// The message id of what is published: the same for the same dead letter, so that redriving it twice at once
/// is redriving it once.
pub fn message_id(dead: &DeadMessage, plan: &RedrivePlan) -> String {
    match plan {
        RedrivePlan::Job(job) => job.job_id.clone(),
        RedrivePlan::Pointer(_) | RedrivePlan::Unchanged(_) => {
            format!("redrive:{}:{}", dead.sequence, dead.letter.at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{dead_message, job};
    use super::*;

    const GARBAGE: &[u8] = b"garbage";

    fn events(headers: &[(&str, &str)]) -> DeadMessage {
        let seq = ("Devtrail-Stream-Sequence", "5");
        dead_message("dead.EVENTS.persist", &[headers, &[seq]].concat(), GARBAGE)
    }

    fn now(message: Option<&'static [u8]>) -> EventsView {
        EventsView {
            stream: "EVENTS".to_owned(),
            src: Some(2),
            message: message.map(Bytes::from_static),
        }
    }

    fn why(plan: &Result<RedrivePlan, String>) -> &str {
        plan.as_ref().unwrap_err()
    }

    #[test]
    fn a_message_of_events_is_redriven_and_keeps_its_only_copy() {
        let at = BatchRef { src: 2, seq: 5 };
        let pointer = Ok(RedrivePlan::Pointer(ReplayPointer::redrive(at)));
        assert_eq!(plan(&events(&[]), &now(Some(GARBAGE))), pointer);
        assert_eq!(
            plan(&events(&[("Devtrail-Src", "2")]), &now(Some(GARBAGE))),
            pointer
        );
        let ended = plan(&events(&[("Devtrail-Src", "1")]), &now(Some(GARBAGE)));
        assert!(why(&ended).contains("has ended"), "{ended:?}");
        let other = plan(&events(&[]), &now(Some(b"other")));
        assert!(why(&other).contains("another message"), "{other:?}");
        let gone = plan(&events(&[]), &now(None));
        assert!(why(&gone).contains("only copy"), "{gone:?}");
        let unseen = plan(
            &events(&[]),
            &EventsView {
                src: None,
                ..now(Some(GARBAGE))
            },
        );
        assert!(why(&unseen).contains("start a worker"), "{unseen:?}");
    }

    #[test]
    fn a_dead_pointer_is_redriven_as_the_message_it_names() {
        let at = BatchRef { src: 2, seq: 5 };
        let payload = serde_json::to_vec(&ReplayPointer::redrive(at)).unwrap();
        let one = dead_message(
            "dead.REPLAY.persist-replay",
            &[("Devtrail-Subject", "replay.batch")],
            &payload,
        );
        assert_eq!(
            plan(&one, &now(Some(b"any"))),
            Ok(RedrivePlan::Pointer(ReplayPointer::redrive(at)))
        );
        assert!(plan(&one, &now(None)).is_err());
        let replays = ReplayPointer {
            replay_id: Some("r".to_owned()),
            ..ReplayPointer::redrive(at)
        };
        let payload = serde_json::to_vec(&replays).unwrap();
        let one = dead_message(
            "dead.REPLAY.persist-replay",
            &[("Devtrail-Subject", "replay.batch")],
            &payload,
        );
        assert_eq!(
            plan(&one, &now(None)),
            Ok(RedrivePlan::Unchanged("replay.batch".to_owned()))
        );
    }

    #[test]
    fn a_job_gets_a_new_id_and_what_is_no_job_goes_unchanged() {
        let one = dead_message("dead.JOBS.alert", &[], &serde_json::to_vec(&job()).unwrap());
        let Ok(RedrivePlan::Job(again)) = plan(&one, &EventsView::default()) else {
            panic!()
        };
        assert_eq!((again.job_id.as_str(), again.attempt), ("2:5:alert:r1", 2));
        assert_eq!(message_id(&one, &RedrivePlan::Job(again)), "2:5:alert:r1");
        let subject = ("Devtrail-Subject", "jobs.alert.live.ada");
        let raw = dead_message("dead.JOBS.alert", &[subject], GARBAGE);
        let planned = plan(&raw, &EventsView::default()).unwrap();
        assert_eq!(
            planned,
            RedrivePlan::Unchanged("jobs.alert.live.ada".to_owned())
        );
        assert_eq!(
            message_id(&raw, &planned),
            format!("redrive:7:{}", raw.letter.at)
        );
        let elsewhere = dead_message(
            "dead.JOBS.alert",
            &[("Devtrail-Subject", "events.batch.ada")],
            GARBAGE,
        );
        assert!(why(&plan(&elsewhere, &EventsView::default())).contains("nothing is redriven"));
    }
}
