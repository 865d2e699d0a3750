//! Who holds an event id: pure, and the same whatever order submissions are stored in.
//!
//! Of all submissions of one (developer, event id), the lowest (src, seq, ordinal) is the
//! original; each other one is its duplicate where it says the same, else in conflict with it.

use types::id::EventRef;
use types::json::is_equivalent;
use types::time::Micros;
use types::verdict::Verdict;

/// One submission of an event id.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// Where it came from.
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: &'a [u8; 32],
    /// Its exact bytes.
    pub body: &'a [u8],
}

/// What a submission is beside the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loser {
    /// The same event, in the same bytes or not.
    Duplicate {
        /// The bytes are the original's too.
        same_bytes: bool,
    },
    /// Another event under the same id.
    Conflict,
}

/// What a newcomer does to the id's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It is the holder itself, delivered again.
    Own,
    /// The holder stays.
    Loses(Loser),
    /// It came before the holder: it takes the place, and every other submission is judged anew.
    Takes,
}

/// The stored event that holds an id.
#[derive(Debug)]
pub struct Holder {
    /// Where it came from.
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: [u8; 32],
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// Its effective time.
    pub effective_at: Micros,
    /// Its local day.
    pub local_day: String,
}

/// A stored submission that lost its id to the holder.
#[derive(Debug)]
pub struct Beaten {
    /// Where it came from.
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: [u8; 32],
    /// Its exact bytes; `None` where they are the holder's.
    pub body: Option<Vec<u8>>,
}

/// A submission that does not hold its id, as it is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Lost<'a> {
    /// Whose.
    pub developer: &'a str,
    /// The id.
    pub id: &'a str,
    /// What was submitted.
    pub submission: Submission<'a>,
    /// What it is beside the original.
    pub loser: Loser,
}

impl Holder {
    /// As it takes part in the contest.
    #[must_use]
    pub fn submission(&self) -> Submission<'_> {
        Submission {
            at: self.at,
            hash: &self.hash,
            body: &self.body,
        }
    }
}

impl Loser {
    /// What the store makes of it.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Duplicate { .. } => Verdict::Duplicate,
            Self::Conflict => Verdict::Quarantined,
        }
    }
}

impl<'a> Lost<'a> {
    /// The bytes that a duplicate keeps: its own where they are not the original's.
    #[must_use]
    pub fn own_bytes(&self) -> Option<&'a [u8]> {
        (self.loser != Loser::Duplicate { same_bytes: true }).then_some(self.submission.body)
    }
}

/// Decides between the id's holder and a newcomer.
#[must_use]
pub fn decide(holder: Submission<'_>, newcomer: Submission<'_>) -> Resolution {
    match newcomer.at.cmp(&holder.at) {
        std::cmp::Ordering::Equal => Resolution::Own,
        std::cmp::Ordering::Less => Resolution::Takes,
        std::cmp::Ordering::Greater => Resolution::Loses(beside(holder, newcomer)),
    }
}

/// What `loser` is beside the original.
#[must_use]
pub fn beside(original: Submission<'_>, loser: Submission<'_>) -> Loser {
    if original.hash == loser.hash {
        Loser::Duplicate { same_bytes: true }
    } else if is_equivalent(original.body, loser.body) {
        Loser::Duplicate { same_bytes: false }
    } else {
        Loser::Conflict
    }
}

/// `original` has taken the place of `holder`: that one and those it had beaten are judged anew.
pub fn judged_anew<'a>(
    (developer, id, original): (&'a str, &'a str, Submission<'a>),
    holder: &'a Holder,
    beaten: impl IntoIterator<Item = &'a Beaten>,
) -> impl Iterator<Item = Lost<'a>> {
    let beaten = beaten.into_iter().map(|one| {
        let body = one.body.as_deref().unwrap_or(&holder.body);
        Submission {
            at: one.at,
            hash: &one.hash,
            body,
        }
    });
    std::iter::once(holder.submission())
        .chain(beaten)
        .map(move |submission| {
            let loser = beside(original, submission);
            Lost {
                developer,
                id,
                submission,
                loser,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> EventRef {
        EventRef {
            src: 1,
            seq,
            ordinal: 0,
        }
    }

    #[test]
    fn the_lowest_reference_holds_the_id_and_meaning_decides_about_the_rest() {
        let (one, same, other) = (br#"{"a":1}"#, br#"{ "a": 1 }"#, br#"{"a":2}"#);
        let hashes = [
            types::event::hash(one),
            types::event::hash(same),
            types::event::hash(other),
        ];
        let submission = |seq, n: usize, body| Submission {
            at: at(seq),
            hash: &hashes[n],
            body,
        };
        let holder = submission(5, 0, one);
        assert_eq!(decide(holder, submission(5, 0, one)), Resolution::Own);
        assert_eq!(decide(holder, submission(4, 2, other)), Resolution::Takes);
        let loses = |seq, n, body| decide(holder, submission(seq, n, body));
        assert_eq!(
            loses(6, 0, one),
            Resolution::Loses(Loser::Duplicate { same_bytes: true })
        );
        assert_eq!(
            loses(6, 1, same),
            Resolution::Loses(Loser::Duplicate { same_bytes: false })
        );
        assert_eq!(loses(6, 2, other), Resolution::Loses(Loser::Conflict));
    }

    #[test]
    fn a_new_original_is_measured_with_the_bytes_that_each_of_the_others_was_sent_with() {
        let (one, same, other) = (br#"{"a":1}"#, br#"{ "a": 1 }"#, br#"{"a":2}"#);
        let hash = |body: &[u8]| types::event::hash(body);
        let holder = Holder {
            at: at(5),
            hash: hash(other),
            body: other.to_vec(),
            effective_at: 0,
            local_day: String::new(),
        };
        let beaten = [
            Beaten {
                at: at(6),
                hash: hash(other),
                body: None,
            },
            Beaten {
                at: at(7),
                hash: hash(same),
                body: Some(same.to_vec()),
            },
            Beaten {
                at: at(8),
                hash: hash(one),
                body: Some(one.to_vec()),
            },
        ];
        let original = Submission {
            at: at(4),
            hash: &hash(one),
            body: one,
        };
        let lost: Vec<_> = judged_anew(("ada", "e", original), &holder, &beaten).collect();
        let told: Vec<_> = lost
            .iter()
            .map(|lost| (lost.submission.at.seq, lost.loser))
            .collect();
        let duplicate = |same_bytes| Loser::Duplicate { same_bytes };
        let expected = [
            (5, Loser::Conflict),
            (6, Loser::Conflict),
            (7, duplicate(false)),
            (8, duplicate(true)),
        ];
        assert_eq!(told, expected);
        assert_eq!(lost[1].submission.body, other);
        assert_eq!(
            (lost[2].own_bytes(), lost[3].own_bytes()),
            (Some(&same[..]), None)
        );
    }
}
