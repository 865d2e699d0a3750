//! The administrators' webhook: each message of ADMIN is posted, in order, until the receiver has it.
//!
//! The stream is the outbox and the consumer's place in it is what was delivered: a webhook that is away
//! holds up nothing but itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use bus::pull::{self, Delivery, DeliveryState, ErrorClass, Failure, Outcome};
use bus::pull::{Place, PriorAttempts, PullSettings, Role};
use bus::{ADMIN, WEBHOOK_ADMIN};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::metrics::webhook_post;
use runtime::process::Process;
use runtime::retry::RetrySettings;
use sha2::Sha256;
use types::dead_letter::{DeadLetter, MessageContext};
use types::id::Src;
use types::stream::StreamIncarnation;
use types::time::{Micros, SECOND};

use super::book::REMINDER;
use super::settings::{WatchSettings, micros};

/// A receiver that has not answered by then has not got it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So often at least an alert is tried before it is skipped.
const TRIES: u64 = 5;

/// Posts the messages of ADMIN to the webhook until the process stops; where there is none, returns
/// at once. Any number of processes may: the consumer gives out one message at a time.
///
/// # Errors
/// Where the stream or its consumer is missing or unsafe at the start, or no HTTP client can be made.
pub async fn deliver(
    js: jetstream::Context,
    settings: &WatchSettings,
    (retry, breakers): (RetrySettings, BreakerSettings),
    process: Process,
) -> anyhow::Result<()> {
    let Some(url) = settings.admin_webhook_url.clone() else {
        return Ok(());
    };
    let http = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("devtrail/", env!("CARGO_PKG_VERSION")))
        .build()?;
    // One message at a time, so one probe decides: there may be no second message for long.
    let breaker = BreakerSettings {
        probes: 1,
        ..breakers
    };
    let guard = process.breakers.guard("webhook:admin", breaker);
    let (secret, patience) = (
        settings.admin_webhook_secret.clone(),
        settings.admin_webhook_patience,
    );
    let role = Arc::new(Webhook {
        http,
        url,
        secret,
        patience,
    });
    let settings = PullSettings {
        group: 1,
        keeps: false,
        ..PullSettings::new(retry, guard, process.actor.to_string())
    };
    Ok(pull::run(
        js,
        (ADMIN, WEBHOOK_ADMIN),
        (role, Arc::new(NoDeliveryState)),
        settings,
        process.shutdown,
    )
    .await?)
}

struct Webhook {
    http: reqwest::Client,
    url: String,
    secret: Option<String>,
    patience: Duration,
}

/// Nothing is remembered: no message is blamed. One that nobody can read is found in DEAD by its message id.
struct NoDeliveryState;

impl DeliveryState for NoDeliveryState {
    async fn source(&self, _life: &StreamIncarnation) -> Result<Src, Failure> {
        Ok(0)
    }

    /// Only a post tells.
    async fn probe(&self, _nobodys: Place<'_>) -> Result<bool, Failure> {
        Ok(false)
    }

    async fn recall(
        &self,
        _life: &StreamIncarnation,
        _consumer: &str,
        _seqs: &[u64],
    ) -> Result<BTreeMap<u64, PriorAttempts>, Failure> {
        Ok(BTreeMap::new())
    }

    async fn mark(&self, _place: Place<'_>, _now: Micros) -> Result<PriorAttempts, Failure> {
        Ok(PriorAttempts::default())
    }

    async fn unmark(&self, _place: Place<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn failed(&self, _place: Place<'_>, _reason: &str, _now: Micros) -> Result<u32, Failure> {
        Ok(0)
    }

    async fn dead_lettered(&self, _place: Place<'_>, _letter: DeadLetter) -> Result<(), Failure> {
        Ok(())
    }

    async fn recovered(
        &self,
        _place: Place<'_>,
        _about: &MessageContext,
        _now: Micros,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn settled(
        &self,
        _life: &StreamIncarnation,
        _consumer: &str,
        _seqs: &[u64],
    ) -> Result<(), Failure> {
        Ok(())
    }
}

/// What came of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Taken,
    /// It may be taken another time.
    NotNow,
    /// The receiver wants none: the address or the secret is wrong, whatever the message.
    Denied,
    /// The receiver does not want it, now or ever.
    Refused,
}

/// What a status says. 408 and 429 are about the moment, as all from 500 on; a redirect is not followed, for
/// it says that the address is another one.
fn answer(status: StatusCode) -> Answer {
    match status.as_u16() {
        200..300 => Answer::Taken,
        408 | 429 | 500.. => Answer::NotNow,
        300..=399 | 401 | 403 | 404 => Answer::Denied,
        _ => Answer::Refused,
    }
}

/// The value of `Devtrail-Signature`: HMAC-SHA256 with the secret over timestamp, `.` and body.
#[must_use]
pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={hex}")
}

impl Role for Webhook {
    async fn handle(&self, _life: &StreamIncarnation, group: &[Delivery]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(group.len());
        for one in group {
            outcomes.push(self.one(one).await);
        }
        outcomes
    }

    async fn about(
        &self,
        _life: &StreamIncarnation,
        _delivery: &Delivery,
    ) -> Result<MessageContext, Failure> {
        Ok(MessageContext::default())
    }
}

impl Webhook {
    async fn one(&self, delivery: &Delivery) -> Outcome {
        let (seq, now) = (delivery.seq, clock::now());
        // What still stands is told again each day; what is older than that is no news any more.
        if now.saturating_sub(delivery.published_at) > 2 * REMINDER {
            tracing::info!(
                seq,
                "an alert is older than two days and not posted to the webhook"
            );
            return Outcome::Ack;
        }
        let (answer, reason) = match self.post(delivery, now / SECOND).await {
            Ok(status) if answer(status) == Answer::NotNow && self.is_tired_of(delivery, now) => {
                tracing::error!(seq, %status, "an alert is skipped: the admin webhook has failed it for too long");
                webhook_post("skipped");
                return Outcome::Ack;
            }
            Ok(status) => (
                answer(status),
                format!("the admin webhook answered {status}"),
            ),
            // Its own message holds the address, which may hold a secret.
            Err(error) => {
                let error = anyhow::Error::new(error.without_url());
                (
                    Answer::NotNow,
                    format!("the admin webhook gave no answer: {error:#}"),
                )
            }
        };
        match answer {
            Answer::Taken => {
                webhook_post("taken");
                Outcome::Ack
            }
            Answer::Refused => {
                webhook_post("refused");
                tracing::error!(seq, reason, "an alert was refused: it is not posted again");
                Outcome::Ack
            }
            // Nothing would arrive before someone mends it; then what still waits does.
            Answer::Denied => {
                webhook_post("denied");
                tracing::error!(
                    seq,
                    reason,
                    "the admin webhook takes no alerts: set the right --admin-webhook-url and --admin-webhook-secret"
                );
                Outcome::failed(ErrorClass::Transient, reason)
            }
            // It goes back, for this or another worker to try; it is nobody's fault but the receiver's.
            Answer::NotNow => {
                webhook_post("not_now");
                Outcome::failed(ErrorClass::Transient, reason)
            }
        }
    }

    /// One that the receiver fails again and again must not hold up all others for ever.
    fn is_tired_of(&self, delivery: &Delivery, now: Micros) -> bool {
        let age = now.saturating_sub(delivery.published_at);
        delivery.delivered >= TRIES && age > micros(self.patience)
    }

    async fn post(&self, delivery: &Delivery, timestamp: i64) -> reqwest::Result<StatusCode> {
        let timestamp = timestamp.to_string();
        let id = delivery
            .headers
            .get(async_nats::header::NATS_MESSAGE_ID)
            .map_or("", |id| id.as_str());
        let mut request = self
            .http
            .post(&self.url)
            .header("Content-Type", "application/json");
        request = request
            .header("Devtrail-Alert-Id", id)
            .header("Devtrail-Timestamp", &timestamp);
        if let Some(secret) = &self.secret {
            request = request.header(
                "Devtrail-Signature",
                signature(secret, &timestamp, &delivery.payload),
            );
        }
        Ok(request
            .body(delivery.payload.clone())
            .send()
            .await?
            .status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_tried_again() {
        let of = |status: u16| answer(StatusCode::from_u16(status).unwrap());
        for status in [200, 202, 204] {
            assert_eq!(of(status), Answer::Taken);
        }
        for status in [408, 429, 500, 503, 599] {
            assert_eq!(of(status), Answer::NotNow);
        }
        for status in [301, 307, 401, 403, 404] {
            assert_eq!(of(status), Answer::Denied);
        }
        for status in [400, 410, 422] {
            assert_eq!(of(status), Answer::Refused);
        }
    }

    /// The expected value is of `printf 1700000000.'{"a":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_is_hmac_sha256_over_timestamp_dot_body() {
        let signed = signature("secret", "1700000000", br#"{"a":1}"#);
        assert_eq!(
            signed,
            "sha256=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
        assert_ne!(signed, signature("other", "1700000000", br#"{"a":1}"#));
    }
}
