//! Which dead letters a command is about, read one by one: never more than one is held.

use std::collections::VecDeque;

use anyhow::Context as _;
use async_nats::jetstream;
use bus::{DEAD, stored_messages};
use types::event_streams::EVENTS;
use types::id::DeveloperId;

use super::message::{DeadMessage, is_event_stream};
use crate::output::SELECTION;
use crate::target::open_stream;
use crate::time_args::TimeRangeArgs;

/// What narrows the dead letters; everything that is given must fit.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DeadLetterFilterArgs {
    #[command(flatten)]
    pub origin: DeadLetterOriginArgs,
    /// Only dead letters whose reason contains this, in upper or lower case
    #[arg(long, value_name = "TEXT", help_heading = SELECTION)]
    pub reason: Option<String>,
}

/// The origin of dead letters.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DeadLetterOriginArgs {
    /// Only what came from this stream: EVENTS (each of them if there are several), JOBS or REPLAY
    #[arg(long, value_name = "STREAM", value_parser = parse_token, help_heading = SELECTION)]
    stream: Option<String>,
    /// Only what this consumer dead-lettered, such as persist or alert
    #[arg(long, value_name = "CONSUMER", value_parser = parse_token, help_heading = SELECTION)]
    consumer: Option<String>,
    /// Only this developer's
    #[arg(long, value_name = "DEVELOPER", help_heading = SELECTION)]
    pub developer: Option<DeveloperId>,
    #[command(flatten)]
    pub range: TimeRangeArgs,
}

/// A name that is one token of a subject.
fn parse_token(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no name of a stream or consumer; `devtrail status` shows them"
    ))
}

impl DeadLetterSelection {
    /// The dead letters that are named; without a name, those that fit.
    pub fn of(sequences: &[u64], filter: DeadLetterFilterArgs) -> Self {
        match sequences {
            [] => Self::Matching(filter),
            sequences => Self::Named(sequences.to_vec()),
        }
    }
}

impl DeadLetterFilterArgs {
    /// The subjects of DEAD that may fit.
    fn subject(&self) -> String {
        let token = |name: Option<&String>| name.cloned().unwrap_or_else(|| "*".to_owned());
        // One subject for several streams names all of them.
        let stream = self.origin.stream.as_ref();
        format!(
            "dead.{}.{}",
            token(stream.filter(|name| *name != EVENTS)),
            token(self.origin.consumer.as_ref())
        )
    }

    fn fits_stream(&self, dead: &DeadMessage) -> bool {
        self.origin.stream.as_deref() != Some(EVENTS) || is_event_stream(&dead.letter.stream)
    }

    fn fits(&self, dead: &DeadMessage) -> bool {
        let contains = |text: &String| dead.reason().to_lowercase().contains(&text.to_lowercase());
        self.origin
            .developer
            .as_ref()
            .is_none_or(|developer| dead.developer().as_deref() == Some(developer.as_str()))
            && self.fits_stream(dead)
            && self.reason.as_ref().is_none_or(contains)
            && self.origin.range.contains(dead.letter.at)
    }
}

/// Which dead letters: those that fit a filter, or those that are named.
#[derive(Debug, Clone)]
pub enum DeadLetterSelection {
    Matching(DeadLetterFilterArgs),
    /// Those with these sequences in DEAD.
    Named(Vec<u64>),
}

/// What DEAD holds at a sequence.
#[derive(Debug)]
pub enum Selected {
    /// A message of DEAD.
    Message(Box<DeadMessage>),
    /// Nothing is at a sequence that was named.
    Gone(u64),
}

/// Reads the selected dead letters, from the first to the last that was in DEAD when it was opened.
pub struct DeadLetterCursor {
    js: jetstream::Context,
    selection: DeadLetterSelection,
    named: VecDeque<u64>,
    next: u64,
    last: u64,
}

impl DeadLetterCursor {
    /// From the beginning; what comes into DEAD meanwhile is not read.
    ///
    /// # Errors
    /// Returns an error if DEAD cannot be read.
    pub async fn new(
        js: &jetstream::Context,
        selection: DeadLetterSelection,
    ) -> anyhow::Result<Self> {
        let state = open_stream(js, DEAD).await?.cached_info().state.clone();
        let named = match &selection {
            DeadLetterSelection::Matching(_) => VecDeque::new(),
            DeadLetterSelection::Named(sequences) => sequences.iter().copied().collect(),
        };
        Ok(Self {
            js: js.clone(),
            selection,
            named,
            next: state.first_sequence,
            last: state.last_sequence,
        })
    }

    /// How many dead letters there may be at most.
    pub fn bound(&self) -> u64 {
        match &self.selection {
            DeadLetterSelection::Matching(_) => (self.last + 1).saturating_sub(self.next),
            DeadLetterSelection::Named(sequences) => sequences.len() as u64,
        }
    }

    /// The next dead letter.
    ///
    /// # Errors
    /// Returns an error if DEAD cannot be read.
    pub async fn next(&mut self) -> anyhow::Result<Option<Selected>> {
        let filter = match &self.selection {
            DeadLetterSelection::Matching(filter) => filter.clone(),
            DeadLetterSelection::Named(_) => {
                let Some(sequence) = self.named.pop_front() else {
                    return Ok(None);
                };
                let Some(dead) = at(&self.js, sequence).await? else {
                    return Ok(Some(Selected::Gone(sequence)));
                };
                return Ok(Some(Selected::Message(Box::new(dead))));
            }
        };
        loop {
            let Some(dead) = first_in(&self.js, &filter.subject(), self.next, self.last).await?
            else {
                return Ok(None);
            };
            self.next = dead.sequence + 1;
            if filter.fits(&dead) {
                return Ok(Some(Selected::Message(Box::new(dead))));
            }
        }
    }
}

/// The dead letter at a sequence, if there is one.
///
/// # Errors
/// Returns an error if DEAD cannot be read.
pub async fn at(js: &jetstream::Context, sequence: u64) -> anyhow::Result<Option<DeadMessage>> {
    Ok(stored_messages::get(js, DEAD, sequence)
        .await?
        .and_then(DeadMessage::read))
}

/// The first dead letter with such a subject in `next..=last`.
///
/// # Errors
/// Returns an error if DEAD cannot be read.
pub async fn first_in(
    js: &jetstream::Context,
    subject: &str,
    next: u64,
    last: u64,
) -> anyhow::Result<Option<DeadMessage>> {
    if next > last {
        return Ok(None);
    }
    let found = stored_messages::first_from(js, DEAD, next, subject).await?;
    let Some(message) = found.filter(|message| message.seq <= last) else {
        return Ok(None);
    };
    let sequence = message.seq;
    let subject = message.subject.clone();
    // Nothing else fits the subjects of DEAD.
    let dead = DeadMessage::read(message);
    dead.with_context(|| format!("message {sequence} of DEAD has the subject {subject}"))
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::dead_message;
    use super::*;

    #[test]
    fn a_filter_asks_for_its_subjects_and_keeps_what_fits() {
        let all = DeadLetterFilterArgs::default();
        assert_eq!(all.subject(), "dead.*.*");
        let origin = DeadLetterOriginArgs {
            stream: Some("JOBS".to_owned()),
            range: TimeRangeArgs {
                from: Some(5),
                to: None,
            },
            ..DeadLetterOriginArgs::default()
        };
        let filter = DeadLetterFilterArgs {
            origin,
            reason: Some("WINDOW".to_owned()),
        };
        assert_eq!(filter.subject(), "dead.JOBS.*");
        let one = dead_message(
            "dead.JOBS.alert",
            &[("Devtrail-Reason", "no window fits")],
            b"{}",
        );
        assert!(filter.fits(&one) && all.fits(&one));
        let origin = DeadLetterOriginArgs {
            range: TimeRangeArgs {
                from: Some(one.letter.at + 1),
                to: None,
            },
            ..filter.origin.clone()
        };
        assert!(
            !DeadLetterFilterArgs {
                origin,
                ..filter.clone()
            }
            .fits(&one)
        );
        assert!(
            !DeadLetterFilterArgs {
                reason: Some("panic".to_owned()),
                ..filter
            }
            .fits(&one)
        );
        let origin = DeadLetterOriginArgs {
            developer: Some("ada".parse().unwrap()),
            ..DeadLetterOriginArgs::default()
        };
        let ada = DeadLetterFilterArgs {
            origin,
            reason: None,
        };
        let of = |developer| {
            dead_message(
                "dead.REPLAY.persist-replay",
                &[("Devtrail-Developer", developer)],
                b"{}",
            )
        };
        assert!(ada.fits(&of("ada")) && !ada.fits(&of("bob")) && !ada.fits(&one));
        assert!(
            parse_token("JOBS.*")
                .unwrap_err()
                .contains("devtrail status")
        );
    }
}
