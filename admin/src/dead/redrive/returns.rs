//! Letters that come back: what gave up again after it was redriven.

use std::collections::HashMap;

use async_nats::jetstream;
use bus::DEAD;

use super::super::desk::stream;
use super::super::report::Became;
use super::super::walk::from;

/// Reads what comes into DEAD, as it comes.
pub struct Returns {
    js: jetstream::Context,
    next: u64,
    /// By the message id that it was redriven under.
    back: HashMap<String, (u64, String)>,
}

impl Returns {
    /// What comes from now on.
    ///
    /// # Errors
    /// Where DEAD cannot be read.
    pub async fn from_now(js: &jetstream::Context) -> anyhow::Result<Self> {
        let last = stream(js, DEAD).await?.cached_info().state.last_sequence;
        Ok(Self {
            js: js.clone(),
            next: last + 1,
            back: HashMap::new(),
        })
    }

    /// What became of the message with this id, if it gave up again.
    ///
    /// # Errors
    /// Where DEAD cannot be read.
    pub async fn of(&mut self, msg_id: &str) -> anyhow::Result<Option<Became>> {
        while let Some(letter) = from(&self.js, "dead.*.*", self.next, u64::MAX).await? {
            self.next = letter.sequence + 1;
            if let Some(id) = &letter.dead.message_id {
                self.back
                    .insert(id.clone(), (letter.sequence, letter.reason().to_owned()));
            }
        }
        let again = self.back.get(msg_id).cloned();
        Ok(again.map(|(sequence, reason)| Became::GaveUpAgain { sequence, reason }))
    }
}
