//! One signed HTTP POST, and what its response means.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use runtime::settings::Address;
use sha2::Sha256;
use types::time::{Micros, SECOND};

/// A receiver that has not responded by then has not got the message.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a post came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    Accepted,
    /// The receiver gave no response, or cannot take the message now.
    Unavailable,
    /// The receiver takes no message: the address or the secret is wrong.
    Denied,
    /// The receiver does not take this message, now or later.
    Rejected,
}

impl PostOutcome {
    /// 408, 429 and everything from 500 on are about the moment. A redirect is not followed: it says that the address
    /// is another one.
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..300 => Self::Accepted,
            408 | 429 | 500.. => Self::Unavailable,
            300..=399 | 401 | 403 | 404 => Self::Denied,
            _ => Self::Rejected,
        }
    }
}

/// A post that was made.
#[derive(Debug)]
pub struct Post {
    pub outcome: PostOutcome,
    /// `None` if there was no response.
    pub status: Option<StatusCode>,
    /// A sentence for the log; it never holds the address, which may hold a secret.
    pub reason: String,
}

/// Posts messages to one address.
pub struct WebhookSender {
    http: reqwest::Client,
    url: Address,
    secret: Option<String>,
    /// The header that carries a message's id.
    id_header: &'static str,
}

impl WebhookSender {
    /// # Errors
    /// Returns `reqwest::Error` if no TLS backend can be initialized.
    pub fn new(
        url: Address,
        secret: Option<String>,
        id_header: &'static str,
    ) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("devtrail/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            url,
            secret,
            id_header,
        })
    }

    /// Posts `body` as JSON, signed if there is a secret. `webhook` names the webhook in the reason.
    pub async fn post(&self, webhook: &str, id: &str, body: bytes::Bytes, now: Micros) -> Post {
        let timestamp = (now / SECOND).to_string();
        let mut request = self
            .http
            .post(self.url.expose())
            .header("Content-Type", "application/json")
            .header(self.id_header, id)
            .header("Devtrail-Timestamp", &timestamp);
        if let Some(secret) = &self.secret {
            let signature = signature(secret, &timestamp, &body);
            request = request.header("Devtrail-Signature", signature);
        }
        match request.body(body).send().await {
            Ok(response) => {
                let status = response.status();
                Post {
                    outcome: PostOutcome::of(status),
                    status: Some(status),
                    reason: format!("the {webhook} webhook answered {status}"),
                }
            }
            Err(error) => {
                let error = anyhow::Error::new(error.without_url());
                Post {
                    outcome: PostOutcome::Unavailable,
                    status: None,
                    reason: format!("the {webhook} webhook gave no answer: {error:#}"),
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_about_the_moment_is_retried() {
        let of = |status: u16| PostOutcome::of(StatusCode::from_u16(status).unwrap());
        for status in [200, 202, 204] {
            assert_eq!(of(status), PostOutcome::Accepted);
        }
        for status in [408, 429, 500, 503, 599] {
            assert_eq!(of(status), PostOutcome::Unavailable);
        }
        for status in [301, 307, 401, 403, 404] {
            assert_eq!(of(status), PostOutcome::Denied);
        }
        for status in [400, 410, 422] {
            assert_eq!(of(status), PostOutcome::Rejected);
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
