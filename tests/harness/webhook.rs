//! A receiver of webhooks that records what is posted to it, and answers as configured.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

/// A status, and where a redirect leads.
type Answer = (StatusCode, [(HeaderName, &'static str); 1]);

/// One post.
#[derive(Debug, Clone)]
pub struct WebhookPost {
    pub headers: HeaderMap,
    /// Its body as it came.
    pub body: Bytes,
    /// What it is answered.
    pub status: u16,
    /// Whether the answer has gone out.
    pub answered: bool,
}

impl WebhookPost {
    ///
    /// # Panics
    /// If it is no text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header is text"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

#[derive(Debug, Default)]
struct Received {
    posts: Vec<WebhookPost>,
    status: u16,
    delay: Duration,
}

/// A running receiver; ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct WebhookReceiver {
    /// Where it is.
    pub url: String,
    received: Arc<Mutex<Received>>,
}

impl WebhookReceiver {
    /// Starts one that answers 204.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start() -> Self {
        let (hook, port) = Self::reserved();
        hook.listen(port).await;
        hook
    }

    /// One that is not there yet, and the port where it will be.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn reserved() -> (Self, u16) {
        let received = Arc::new(Mutex::new(Received {
            status: 204,
            ..Received::default()
        }));
        let address = crate::free_address();
        let (_, port) = address.rsplit_once(':').expect("host:port");
        (
            Self {
                url: format!("http://{address}/alerts"),
                received,
            },
            port.parse().expect("a port"),
        )
    }

    /// Takes posts from now on.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn listen(&self, port: u16) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("its port");
        let routes = Router::new()
            .fallback(take)
            .with_state(self.received.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }

    /// Answers so from now on, each time after `delay`.
    ///
    /// # Panics
    /// If a test panicked with it.
    pub fn answer(&self, status: u16, delay: Duration) {
        let mut received = self.received.lock().expect("no test panics with it");
        (received.status, received.delay) = (status, delay);
    }

    /// What was posted so far, oldest first.
    ///
    /// # Panics
    /// If a test panicked with it.
    #[must_use]
    pub fn posts(&self) -> Vec<WebhookPost> {
        self.received
            .lock()
            .expect("no test panics with it")
            .posts
            .clone()
    }
}

/// Any path is taken: a redirect that is followed shows as another post.
async fn take(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let (index, status, delay) = {
        let mut received = received.lock().expect("no test panics with it");
        let status = received.status;
        let delay = received.delay;
        received.posts.push(WebhookPost {
            headers,
            body,
            status,
            answered: false,
        });
        (received.posts.len() - 1, status, delay)
    };
    tokio::time::sleep(delay).await; // sleep: a receiver that is slow
    received.lock().expect("no test panics with it").posts[index].answered = true;
    (
        StatusCode::from_u16(status).expect("a status"),
        [(LOCATION, "/elsewhere")],
    )
}
