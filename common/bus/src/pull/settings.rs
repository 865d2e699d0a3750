//! The bounds of a pull loop.

use crate::store_owner::StoreOwner;
use runtime::breaker::Guard;
use runtime::retry::RetrySettings;

/// The bounds of a pull loop, and what it does about failures.
#[derive(Clone)]
pub struct PullSettings {
    /// Most messages in one group.
    pub group: usize,
    /// Most payload held in memory, in KiB.
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

impl PullSettings {
    /// Groups of up to 256 messages, and 64 MiB.
    #[must_use]
    pub fn new(retry: RetrySettings, guard: Guard, actor: String) -> Self {
        Self {
            group: 256,
            memory_kib: 64 * 1024,
            retry,
            guard,
            holds: true,
            actor,
            store: None,
        }
    }
}
