//! Which event owns an event id: pure, and the same whatever order submissions are stored in.
//!
//! Of all submissions of one (developer, event id), the lowest (src, seq, ordinal) is the
//! original and owns the id; each other one is its duplicate if it means the same, else in conflict with it.

use types::id::EventRef;
use types::json::is_equivalent;
use types::time::Micros;
use types::verdict::Verdict;

/// One submission of an event id.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: &'a [u8; 32],
    /// Its exact bytes.
    pub body: &'a [u8],
}

/// Why a submission does not own its id: how it compares with the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displacement {
    /// The same event, in the same bytes or not.
    Duplicate {
        /// The bytes are the original's too.
        same_bytes: bool,
    },
    /// Another event under the same id.
    Conflict,
}

/// How a newcomer and the id's current owner are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It is the owner itself, delivered again.
    Own,
    /// The owner stays.
    Displaced(Displacement),
    /// It came before the owner: it supersedes it, and every other submission is re-evaluated.
    Supersedes,
}

/// The stored event that owns an id.
#[derive(Debug)]
pub struct CurrentOwner {
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: [u8; 32],
    /// Its exact bytes.
    pub body: Vec<u8>,
    pub effective_at: Micros,
    pub local_day: String,
}

/// A stored submission that does not own its id.
#[derive(Debug)]
pub struct DisplacedCandidate {
    pub at: EventRef,
    /// BLAKE3 of its exact bytes.
    pub hash: [u8; 32],
    /// Its exact bytes; `None` if they are the owner's.
    pub body: Option<Vec<u8>>,
}

/// A submission that does not own its id, as it is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct DisplacedEvent<'a> {
    pub developer: &'a str,
    pub id: &'a str,
    pub candidate: Candidate<'a>,
    pub displaced: Displacement,
}

impl CurrentOwner {
    /// As dedup resolution compares it.
    #[must_use]
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate {
            at: self.at,
            hash: &self.hash,
            body: &self.body,
        }
    }
}

impl Displacement {
    /// The store's verdict on it.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Duplicate { .. } => Verdict::Duplicate,
            Self::Conflict => Verdict::Quarantined,
        }
    }
}

impl<'a> DisplacedEvent<'a> {
    /// The bytes that a duplicate keeps: its own if they are not the original's.
    #[must_use]
    pub fn own_bytes(&self) -> Option<&'a [u8]> {
        (self.displaced != Displacement::Duplicate { same_bytes: true })
            .then_some(self.candidate.body)
    }
}

/// Decides between the id's owner and a newcomer.
#[must_use]
pub fn resolve(owner: Candidate<'_>, newcomer: Candidate<'_>) -> Resolution {
    match newcomer.at.cmp(&owner.at) {
        std::cmp::Ordering::Equal => Resolution::Own,
        std::cmp::Ordering::Less => Resolution::Supersedes,
        std::cmp::Ordering::Greater => Resolution::Displaced(compare(owner, newcomer)),
    }
}

/// How `displaced` compares with the original.
#[must_use]
pub fn compare(original: Candidate<'_>, displaced: Candidate<'_>) -> Displacement {
    if original.hash == displaced.hash {
        Displacement::Duplicate { same_bytes: true }
    } else if is_equivalent(original.body, displaced.body) {
        Displacement::Duplicate { same_bytes: false }
    } else {
        Displacement::Conflict
    }
}

/// `original` has superseded `owner`: that one and those it had displaced are re-evaluated.
pub fn re_evaluate<'a>(
    developer: &'a str,
    id: &'a str,
    original: Candidate<'a>,
    owner: &'a CurrentOwner,
    displaced_candidates: impl IntoIterator<Item = &'a DisplacedCandidate>,
) -> impl Iterator<Item = DisplacedEvent<'a>> {
    let displaced_candidates = displaced_candidates.into_iter().map(|one| {
        let body = one.body.as_deref().unwrap_or(&owner.body);
        Candidate {
            at: one.at,
            hash: &one.hash,
            body,
        }
    });
    std::iter::once(owner.candidate())
        .chain(displaced_candidates)
        .map(move |candidate| {
            let displaced = compare(original, candidate);
            DisplacedEvent {
                developer,
                id,
                candidate,
                displaced,
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
    fn the_lowest_reference_owns_the_id_and_meaning_decides() {
        let (one, same, other) = (br#"{"a":1}"#, br#"{ "a": 1 }"#, br#"{"a":2}"#);
        let hashes = [
            types::event::hash(one),
            types::event::hash(same),
            types::event::hash(other),
        ];
        let candidate = |seq, n: usize, body| Candidate {
            at: at(seq),
            hash: &hashes[n],
            body,
        };
        let owner = candidate(5, 0, one);
        assert_eq!(resolve(owner, candidate(5, 0, one)), Resolution::Own);
        assert_eq!(
            resolve(owner, candidate(4, 2, other)),
            Resolution::Supersedes
        );
        let displaced = |seq, n, body| resolve(owner, candidate(seq, n, body));
        assert_eq!(
            displaced(6, 0, one),
            Resolution::Displaced(Displacement::Duplicate { same_bytes: true })
        );
        assert_eq!(
            displaced(6, 1, same),
            Resolution::Displaced(Displacement::Duplicate { same_bytes: false })
        );
        assert_eq!(
            displaced(6, 2, other),
            Resolution::Displaced(Displacement::Conflict)
        );
    }

    #[test]
    fn a_new_original_is_compared_with_the_bytes_each_was_sent_with() {
        let (one, same, other) = (br#"{"a":1}"#, br#"{ "a": 1 }"#, br#"{"a":2}"#);
        let hash = |body: &[u8]| types::event::hash(body);
        let owner = CurrentOwner {
            at: at(5),
            hash: hash(other),
            body: other.to_vec(),
            effective_at: 0,
            local_day: String::new(),
        };
        let displaced_candidates = [
            DisplacedCandidate {
                at: at(6),
                hash: hash(other),
                body: None,
            },
            DisplacedCandidate {
                at: at(7),
                hash: hash(same),
                body: Some(same.to_vec()),
            },
            DisplacedCandidate {
                at: at(8),
                hash: hash(one),
                body: Some(one.to_vec()),
            },
        ];
        let original = Candidate {
            at: at(4),
            hash: &hash(one),
            body: one,
        };
        let events: Vec<_> =
            re_evaluate("ada", "e", original, &owner, &displaced_candidates).collect();
        let displacements: Vec<_> = events
            .iter()
            .map(|events| (events.candidate.at.seq, events.displaced))
            .collect();
        let duplicate = |same_bytes| Displacement::Duplicate { same_bytes };
        let expected = [
            (5, Displacement::Conflict),
            (6, Displacement::Conflict),
            (7, duplicate(false)),
            (8, duplicate(true)),
        ];
        assert_eq!(displacements, expected);
        assert_eq!(events[1].candidate.body, other);
        assert_eq!(
            (events[2].own_bytes(), events[3].own_bytes()),
            (Some(&same[..]), None)
        );
    }
}
