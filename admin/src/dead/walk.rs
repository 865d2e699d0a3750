//! Which dead letters a command is about, read one by one: never more than one is held.

use std::collections::VecDeque;

use anyhow::Context as _;
use async_nats::jetstream;
use bus::{DEAD, stored};
use types::id::DeveloperId;
use types::time::Micros;

use super::desk;
use super::letter::Letter;
use crate::time_args::parse_since;

/// What narrows the dead letters; everything that is given must fit.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filter {
    #[command(flatten)]
    pub origin: Origin,
    /// Only letters whose reason contains this, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Whose letters, from where and since when.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Origin {
    /// Only what came from this stream: EVENTS, JOBS or REPLAY
    #[arg(long, value_name = "STREAM", value_parser = parse_token)]
    stream: Option<String>,
    /// Only what this consumer gave up, such as persist or alert
    #[arg(long, value_name = "CONSUMER", value_parser = parse_token)]
    consumer: Option<String>,
    /// Only this developer's
    #[arg(long)]
    developer: Option<DeveloperId>,
    /// Only what gave up at or after this: an RFC 3339 time, or YYYY-MM-DD in UTC
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Micros>,
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

impl Filter {
    /// The subjects of DEAD that may fit.
    fn subject(&self) -> String {
        let token = |name: &Option<String>| name.clone().unwrap_or_else(|| "*".to_owned());
        format!(
            "dead.{}.{}",
            token(&self.origin.stream),
            token(&self.origin.consumer)
        )
    }

    fn fits(&self, letter: &Letter) -> bool {
        let contains = |text: &String| {
            letter
                .reason()
                .to_lowercase()
                .contains(&text.to_lowercase())
        };
        self.origin
            .developer
            .as_ref()
            .is_none_or(|wanted| letter.developer().as_deref() == Some(wanted.as_str()))
            && self.reason.as_ref().is_none_or(contains)
            && self
                .origin
                .since
                .is_none_or(|since| letter.dead.at >= since)
    }
}

/// Which letters: those that fit a filter, or those that are named.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Whatever fits.
    Fitting(Filter),
    /// These.
    Named(Vec<u64>),
}

/// What stands at a place of DEAD.
#[derive(Debug)]
pub enum Found {
    /// A letter.
    Letter(Box<Letter>),
    /// Nothing stands at a sequence that was named.
    Gone(u64),
}

/// Goes through the wanted letters, from the first that is in DEAD to the last that is there now.
pub struct Walk {
    js: jetstream::Context,
    wanted: Wanted,
    named: VecDeque<u64>,
    next: u64,
    last: u64,
}

impl Walk {
    /// From the beginning. What comes into DEAD meanwhile is not looked at.
    ///
    /// # Errors
    /// Where DEAD cannot be read.
    pub async fn new(js: &jetstream::Context, wanted: Wanted) -> anyhow::Result<Self> {
        let state = desk::stream(js, DEAD).await?.cached_info().state.clone();
        let named = match &wanted {
            Wanted::Fitting(_) => VecDeque::new(),
            Wanted::Named(sequences) => sequences.iter().copied().collect(),
        };
        Ok(Self {
            js: js.clone(),
            wanted,
            named,
            next: state.first_sequence,
            last: state.last_sequence,
        })
    }

    /// How many letters there may be at most.
    pub fn bound(&self) -> u64 {
        match &self.wanted {
            Wanted::Fitting(_) => (self.last + 1).saturating_sub(self.next),
            Wanted::Named(sequences) => sequences.len() as u64,
        }
    }

    /// The next letter.
    ///
    /// # Errors
    /// Where DEAD cannot be read.
    pub async fn next(&mut self) -> anyhow::Result<Option<Found>> {
        let filter = match &self.wanted {
            Wanted::Fitting(filter) => filter.clone(),
            Wanted::Named(_) => {
                let Some(sequence) = self.named.pop_front() else {
                    return Ok(None);
                };
                let Some(letter) = at(&self.js, sequence).await? else {
                    return Ok(Some(Found::Gone(sequence)));
                };
                return Ok(Some(Found::Letter(Box::new(letter))));
            }
        };
        loop {
            let Some(letter) = from(&self.js, &filter.subject(), self.next, self.last).await?
            else {
                return Ok(None);
            };
            self.next = letter.sequence + 1;
            if filter.fits(&letter) {
                return Ok(Some(Found::Letter(Box::new(letter))));
            }
        }
    }
}

/// The letter at a sequence, where there is one.
///
/// # Errors
/// Where DEAD cannot be read.
pub async fn at(js: &jetstream::Context, sequence: u64) -> anyhow::Result<Option<Letter>> {
    Ok(stored::message(js, DEAD, sequence)
        .await?
        .and_then(Letter::read))
}

/// The first letter with such a subject in `next..=last`.
///
/// # Errors
/// Where DEAD cannot be read.
pub async fn from(
    js: &jetstream::Context,
    subject: &str,
    next: u64,
    last: u64,
) -> anyhow::Result<Option<Letter>> {
    if next > last {
        return Ok(None);
    }
    let found = stored::first_from(js, DEAD, next, subject).await?;
    let Some(message) = found.filter(|message| message.seq <= last) else {
        return Ok(None);
    };
    let (sequence, subject) = (message.seq, message.subject.clone());
    // Nothing else fits the subjects of DEAD.
    let letter = Letter::read(message);
    letter
        .with_context(|| format!("message {sequence} of DEAD has the subject {subject}"))
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[test]
    fn a_filter_asks_for_its_subjects_and_keeps_what_fits() {
        let all = Filter::default();
        assert_eq!(all.subject(), "dead.*.*");
        let origin = Origin {
            stream: Some("JOBS".to_owned()),
            since: Some(5),
            ..Origin::default()
        };
        let filter = Filter {
            origin,
            reason: Some("WINDOW".to_owned()),
        };
        assert_eq!(filter.subject(), "dead.JOBS.*");
        let one = letter(
            "dead.JOBS.alert",
            &[("Devtrail-Reason", "no window fits")],
            b"{}",
        );
        assert!(filter.fits(&one) && all.fits(&one));
        let origin = Origin {
            since: Some(one.dead.at + 1),
            ..filter.origin.clone()
        };
        assert!(
            !Filter {
                origin,
                ..filter.clone()
            }
            .fits(&one)
        );
        assert!(
            !Filter {
                reason: Some("panic".to_owned()),
                ..filter
            }
            .fits(&one)
        );
        let origin = Origin {
            developer: Some("ada".parse().unwrap()),
            ..Origin::default()
        };
        let ada = Filter {
            origin,
            reason: None,
        };
        let of = |developer| {
            letter(
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
