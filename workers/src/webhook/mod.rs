//! Webhooks: the messages of a consumer are posted with a signature, in order, until the receiver has them.
//!
//! [`sender`] makes one HTTP request and classifies the response. [`delivery`] feeds it from a durable consumer, with
//! retries and a circuit breaker.

mod delivery;
mod sender;

pub use delivery::{ConsumerName, Webhook, deliver};
pub use sender::{WebhookSender, signature};
