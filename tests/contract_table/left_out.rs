//! What of the contract is not about an existing route or a command, with the reason the table shows.

use crate::sentences::Sentence;

/// Sentences without a test of their own.
pub struct LeftOut {
    /// The heading they stand under, whole.
    pub heading: &'static str,
    /// How they begin; empty for all under the heading.
    pub beginning: &'static str,
    /// Why no black-box test shows them.
    pub reason: &'static str,
}

impl LeftOut {
    /// Whether it is about this sentence.
    pub fn covers(&self, sentence: &Sentence) -> bool {
        sentence.heading == self.heading && sentence.text.starts_with(self.beginning)
    }
}

const fn out(heading: &'static str, beginning: &'static str, reason: &'static str) -> LeftOut {
    LeftOut {
        heading,
        beginning,
        reason,
    }
}

const NATS: &str = "about NATS, not about a route; the tests of the streams show it";

/// All of them, in the contract's order.
pub const LEFT_OUT: &[LeftOut] = &[
    out("", "", "about the page itself"),
    out("Programs", "", "about programs, not about a route"),
    out(
        "POST /v1/events › Reply",
        "`duplicate_batch` is about what clients sent",
        "needs an answer of the stream that gets lost: `collector/src/routes/events/reply.rs` tells both apart",
    ),
    out(
        "POST /v1/events › Errors",
        "500 `internal`",
        "a defect, which nobody outside can call forth: `collector/src/routes/mod.rs` has one",
    ),
    out(
        "POST /v1/events › Event types",
        "[event-types.md]",
        "about the docs",
    ),
    out("In NATS", "", NATS),
    out(
        "Admin alerts",
        "",
        "about NATS, not about a route; `tests/promises/admin_alerts/` shows it",
    ),
    out(
        "Admin alerts › Webhook",
        "What is older than two days",
        "no test waits for two days",
    ),
    out("Commands", "They are listed in", "about the docs"),
    out(
        "Commands › Importing a history",
        "It needs git",
        "the tests take the git that is there",
    ),
];
