//! How a dead letter is given another try. Pure.

use bus::{EVENTS, JOBS, REPLAY};
use bytes::Bytes;
use types::id::{BatchRef, Src};
use types::job::JobMessage;
use types::replay_pointer::{self, ReplayPointer};

use super::letter::{Content, Letter};

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// A pointer to the message, which EVENTS still holds.
    Pointer(ReplayPointer),
    /// The job, under a new id.
    Job(Box<JobMessage>),
    /// The message as it is, on its subject.
    Raw(String),
}

/// What EVENTS holds now, as far as it is about a letter.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// The number of its present life in the store; `None` where the store has not seen it.
    pub src: Option<Src>,
    /// The payload of the message that the letter is about, where it is still there.
    pub message: Option<Bytes>,
}

/// The sequence in EVENTS of the message that is dead: itself, or the one its pointer names.
pub fn in_events(letter: &Letter) -> Option<u64> {
    match &letter.content {
        Content::Pointer(pointer) if pointer.is_redrive() => Some(pointer.at.seq),
        Content::Batch(_) | Content::Raw(_) if letter.dead.stream == EVENTS => letter.origin(),
        Content::Batch(_) | Content::Job(_) | Content::Pointer(_) | Content::Raw(_) => None,
    }
}

/// The letter's message in EVENTS, where that still holds it. A letter of an earlier version names no
/// life: its message is the one with the same payload.
pub fn message(letter: &Letter, now: &Now) -> Result<BatchRef, String> {
    let (Some(seq), Some(src)) = (in_events(letter), now.src) else {
        return Err(
            "the store knows nothing of this life of EVENTS: start a worker first".to_owned(),
        );
    };
    let only_copy = "this letter is the only copy, `devtrail dead show` prints it";
    let (told, is_copy) = match &letter.content {
        Content::Pointer(pointer) => (Some(pointer.at.src), false),
        Content::Batch(_) | Content::Job(_) | Content::Raw(_) => (letter.src(), true),
    };
    if told.is_some_and(|told| told != src) {
        return Err(format!(
            "it is of a life of EVENTS that has ended (its number is not {src}): {only_copy}"
        ));
    }
    match &now.message {
        Some(payload) if !is_copy || *payload == letter.payload => Ok(BatchRef { src, seq }),
        Some(_) => Err(format!(
            "EVENTS holds another message at {seq}: {only_copy}"
        )),
        None => Err(format!("EVENTS no longer holds message {seq}: {only_copy}")),
    }
}

/// How the letter is redriven; or why it cannot have another try, and stays.
pub fn plan(letter: &Letter, now: &Now) -> Result<Plan, String> {
    if in_events(letter).is_some() {
        return message(letter, now).map(|at| Plan::Pointer(ReplayPointer::redrive(at)));
    }
    let subject = letter.dead.subject.as_deref().unwrap_or_default();
    match (&letter.content, letter.dead.stream.as_str()) {
        (Content::Job(job), _) => Ok(Plan::Job(Box::new(job.redriven()))),
        (_, JOBS) if subject.starts_with("jobs.") => Ok(Plan::Raw(subject.to_owned())),
        (_, REPLAY) if subject == replay_pointer::SUBJECT => Ok(Plan::Raw(subject.to_owned())),
        _ => Err(format!(
            "it came from {} on the subject {subject:?}, where nothing is redriven",
            letter.dead.stream
        )),
    }
}

/// The message id of what is published: the same for the same letter, so that redriving it twice at once
/// is redriving it once.
pub fn msg_id(letter: &Letter, plan: &Plan) -> String {
    match plan {
        Plan::Job(job) => job.job_id.clone(),
        Plan::Pointer(_) | Plan::Raw(_) => {
            format!("redrive:{}:{}", letter.sequence, letter.dead.at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{job, letter};
    use super::*;

    const GARBAGE: &[u8] = b"garbage";

    fn events(headers: &[(&str, &str)]) -> Letter {
        let seq = ("Devtrail-Stream-Sequence", "5");
        letter("dead.EVENTS.persist", &[headers, &[seq]].concat(), GARBAGE)
    }

    fn now(message: Option<&'static [u8]>) -> Now {
        Now {
            src: Some(2),
            message: message.map(Bytes::from_static),
        }
    }

    fn why(plan: &Result<Plan, String>) -> &str {
        plan.as_ref().unwrap_err()
    }

    #[test]
    fn a_message_of_events_is_redriven_where_it_lies_and_never_loses_its_only_copy() {
        let at = BatchRef { src: 2, seq: 5 };
        let pointer = Ok(Plan::Pointer(ReplayPointer::redrive(at)));
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
            &Now {
                src: None,
                ..now(Some(GARBAGE))
            },
        );
        assert!(why(&unseen).contains("start a worker"), "{unseen:?}");
    }

    #[test]
    fn a_pointer_that_gave_up_is_redriven_as_the_message_it_names() {
        let at = BatchRef { src: 2, seq: 5 };
        let payload = serde_json::to_vec(&ReplayPointer::redrive(at)).unwrap();
        let one = letter(
            "dead.REPLAY.persist-replay",
            &[("Devtrail-Subject", "replay.batch")],
            &payload,
        );
        assert_eq!(
            plan(&one, &now(Some(b"any"))),
            Ok(Plan::Pointer(ReplayPointer::redrive(at)))
        );
        assert!(plan(&one, &now(None)).is_err());
        let replays = ReplayPointer {
            replay_id: Some("r".to_owned()),
            ..ReplayPointer::redrive(at)
        };
        let payload = serde_json::to_vec(&replays).unwrap();
        let one = letter(
            "dead.REPLAY.persist-replay",
            &[("Devtrail-Subject", "replay.batch")],
            &payload,
        );
        assert_eq!(
            plan(&one, &now(None)),
            Ok(Plan::Raw("replay.batch".to_owned()))
        );
    }

    #[test]
    fn a_job_gets_a_new_id_and_what_is_no_job_goes_back_as_it_is() {
        let one = letter("dead.JOBS.alert", &[], &serde_json::to_vec(&job()).unwrap());
        let Ok(Plan::Job(again)) = plan(&one, &Now::default()) else {
            panic!()
        };
        assert_eq!((again.job_id.as_str(), again.attempt), ("2:5:alert:r1", 2));
        assert_eq!(msg_id(&one, &Plan::Job(again)), "2:5:alert:r1");
        let subject = ("Devtrail-Subject", "jobs.alert.live.ada");
        let raw = letter("dead.JOBS.alert", &[subject], GARBAGE);
        let planned = plan(&raw, &Now::default()).unwrap();
        assert_eq!(planned, Plan::Raw("jobs.alert.live.ada".to_owned()));
        assert_eq!(msg_id(&raw, &planned), format!("redrive:7:{}", raw.dead.at));
        let elsewhere = letter(
            "dead.JOBS.alert",
            &[("Devtrail-Subject", "events.batch.ada")],
            GARBAGE,
        );
        assert!(why(&plan(&elsewhere, &Now::default())).contains("nothing is redriven"));
    }
}
