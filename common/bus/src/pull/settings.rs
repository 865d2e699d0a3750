//! The bounds of a pull loop.

use crate::store_owner::StoreOwner;
use runtime::breaker::Guard;
use runtime::retry::RetrySettings;

/// The bounds of a pull loop, and what it does about failures.
#[derive(Clone)]
pub struct PullSettings {
    /// What is handled together.
    pub group: GroupBounds,
    /// Most payload held in memory, in KiB: what is handled, and what waits for its developer's turn.
    pub memory_kib: usize,
    /// How often failed messages are retried, and how fast.
    pub retry: RetrySettings,
    /// The store's breaker: while it is open nothing is pulled or handled.
    pub guard: Guard,
    /// Whether messages that meet a transient failure are held and handled again here; else they are returned, for
    /// another process to try.
    pub holds: bool,
    /// Executable and instance, for whoever reads DEAD.
    pub actor: String,
    /// The store that is written, which the streams must belong to; `None` if nothing is stored.
    pub store: Option<StoreOwner>,
}

/// The bounds of one group. Work is counted as the handler counts it (`MessageHandler::work`).
#[derive(Debug, Clone, Copy)]
pub struct GroupBounds {
    /// Most messages.
    pub messages: usize,
    /// Most work, unless a single message has more.
    pub work: u64,
    /// Most work of one developer while there are others, unless a single message has more.
    pub share: u64,
}

impl GroupBounds {
    /// Up to so many messages, whatever their work is and whose they are.
    #[must_use]
    pub fn messages(messages: usize) -> Self {
        Self {
            messages,
            work: u64::MAX,
            share: u64::MAX,
        }
    }
}

impl PullSettings {
    /// Groups of up to 256 messages, and 32 MiB.
    #[must_use]
    pub fn new(retry: RetrySettings, guard: Guard, actor: String) -> Self {
        Self {
            group: GroupBounds::messages(256),
            memory_kib: 32 * 1024,
            retry,
            guard,
            holds: true,
            actor,
            store: None,
        }
    }
}
