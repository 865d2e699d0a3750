//! Who publishes what at this moment: messages on their way, those that wait, and the requests that share a message.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::group_commit::{GroupCommit, MAX_GROUP, Round, Single};
use super::message::{EventsMessage, NotPublished, Outcome};
use super::recent_ids::RecentIds;

/// The most bytes of payload in a group.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// What becomes of a message that waited.
#[derive(Debug)]
pub enum Turn {
    /// It was stored in a group, at this sequence.
    Committed(u64),
    /// It goes singly.
    Singly(Single),
    /// It goes singly, after a group that was not confirmed.
    Again {
        single: Single,
        reason: String,
        /// The group may be stored all the same.
        sent: bool,
    },
    /// It is not sent.
    Refused(NotPublished),
}

/// A message that waits for its turn.
#[derive(Debug)]
pub struct Waiting {
    pub message: Arc<EventsMessage>,
    pub turn: oneshot::Sender<Turn>,
}

/// How a message goes to the stream.
pub enum Departure {
    /// The same message is on its way: its outcome is shared.
    Joined(oneshot::Receiver<Outcome>),
    Now(Single),
    Waits(oneshot::Receiver<Turn>),
}

/// The publisher's state, behind one lock.
pub struct Line {
    /// By message id, on their way or waiting: the requests that joined.
    in_flight: HashMap<String, Vec<oneshot::Sender<Outcome>>>,
    waiting: VecDeque<Waiting>,
    recent: RecentIds,
    commit: GroupCommit,
}

impl Line {
    pub fn new(now: Instant) -> Self {
        Self {
            in_flight: HashMap::new(),
            waiting: VecDeque::new(),
            recent: RecentIds::default(),
            commit: GroupCommit::new(now),
        }
    }

    /// A message arrives.
    pub fn enter(&mut self, message: &Arc<EventsMessage>, now: Instant) -> Departure {
        let id = &message.identity.message_id;
        if let Some(joined) = self.in_flight.get_mut(id) {
            let (share, outcome) = oneshot::channel();
            joined.push(share);
            return Departure::Joined(outcome);
        }
        self.in_flight.insert(id.clone(), Vec::new());
        // One resend would have the server refuse its whole group.
        if self.recent.insert(id) {
            return Departure::Now(self.commit.goes_alone(now));
        }
        match self.commit.arrives(now) {
            Some(single) => Departure::Now(single),
            None => {
                let (turn, waits) = oneshot::channel();
                let message = message.clone();
                self.waiting.push_back(Waiting { message, turn });
                Departure::Waits(waits)
            }
        }
    }

    /// The message is not on its way any more; gives the requests that share its outcome.
    pub fn leave(&mut self, message_id: &str) -> Vec<oneshot::Sender<Outcome>> {
        self.in_flight.remove(message_id).unwrap_or_default()
    }

    /// A message gives up waiting, and whether it waited still.
    pub fn withdraw(&mut self, message_id: &str) -> bool {
        let is_it = |waiting: &Waiting| waiting.message.identity.message_id == message_id;
        let place = self.waiting.iter().position(is_it);
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }

    /// Has the next messages go. Singles are told so; a group is given to the caller, who publishes it.
    #[must_use]
    pub fn advance(&mut self, now: Instant) -> Option<Vec<Waiting>> {
        let fitting = self.fitting();
        match self.commit.next_round(now, self.waiting.len(), fitting)? {
            Round::Group => Some(self.waiting.drain(..fitting).collect()),
            Round::Singles { count, single } => {
                for waiting in self.waiting.drain(..count) {
                    // Whoever waited has gone: nothing is sent.
                    if waiting.turn.send(Turn::Singly(single)).is_err() {
                        self.commit.single_ended(single, now, true);
                    }
                }
                None
            }
        }
    }

    /// Whether the next round need not linger any more.
    pub fn is_complete(&self) -> bool {
        self.commit.is_complete(self.waiting.len())
    }

    /// How many of the waiting messages fit into one group.
    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.message.payload.len();
            bytes <= MAX_GROUP_BYTES
        };
        let most = self.waiting.iter().take(MAX_GROUP);
        most.take_while(fits).count()
    }

    /// The decision's state.
    pub fn commit(&mut self) -> &mut GroupCommit {
        &mut self.commit
    }
}
