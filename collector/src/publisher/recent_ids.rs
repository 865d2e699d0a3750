//! The message ids that were published lately, in bounded memory.

use std::hash::{BuildHasher, RandomState};

/// 2 MiB: all ids of two minutes at about a thousand messages a second.
const SLOTS: usize = 1 << 18;

/// Remembers hashes of message ids; an older one gives way to a newer one in its slot.
///
/// Forgetting an id costs a refused group, and taking a new id for an old one a single publish. Neither loses anything.
#[derive(Debug)]
pub struct RecentIds {
    hasher: RandomState,
    /// 0: empty. Untouched pages take no memory.
    slots: Vec<u64>,
}

impl Default for RecentIds {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            slots: vec![0; SLOTS],
        }
    }
}

impl RecentIds {
    /// Remembers the id, and says whether it was known.
    pub fn insert(&mut self, message_id: &str) -> bool {
        let hash = self.hasher.hash_one(message_id) | 1;
        let slot = &mut self.slots[(hash >> 32) as usize % SLOTS];
        std::mem::replace(slot, hash) == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_once_it_was_published() {
        let mut recent = RecentIds::default();
        assert!(!recent.insert("ada:0:b1:00"));
        assert!(recent.insert("ada:0:b1:00"));
        assert!(!recent.insert("ada:0:b2:00"));
    }

    #[test]
    fn a_thousand_ids_later_nearly_all_are_known() {
        let mut recent = RecentIds::default();
        let ids: Vec<String> = (0..1000)
            .map(|number| format!("ada:0:{number}:00"))
            .collect();
        for id in &ids {
            recent.insert(id);
        }
        let known = ids.iter().filter(|id| recent.insert(id)).count();
        assert!(known > 980, "{known} of 1000");
    }
}
