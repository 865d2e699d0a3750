//! Notes of resends that the stream dropped, for the audit: they leave no message of their own.
//!
//! A note is never waited for. Where it cannot be sent the resend leaves no trace, and nothing else
//! is lost.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use types::query::{NOTE_DUPLICATE, ResendNote};

use crate::incarnation::SeenIncarnation;

/// Notes that may wait to be sent; more are dropped.
const WAITING: usize = 1024;
/// Notes that share one look at the stream's life.
const GROUP: usize = 64;
/// How long sending what is left may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// A resend that the server called a duplicate.
#[derive(Debug)]
pub struct Resend {
    /// The note; its life is the one seen before the publish.
    pub note: ResendNote,
    /// When its PubAck had come.
    pub acked: Instant,
}

/// Where requests leave their notes.
pub struct Notes(mpsc::Sender<Resend>);

/// Where [`run`] finds them.
pub type Left = mpsc::Receiver<Resend>;

/// Both ends.
#[must_use]
pub fn channel() -> (Notes, Left) {
    let (sender, left) = mpsc::channel(WAITING);
    (Notes(sender), left)
}

impl Notes {
    /// Leaves a note; returns at once.
    pub fn leave(&self, resend: Resend) {
        if let Err(error) = self.0.try_send(resend) {
            tracing::debug!(%error, "a resend leaves no note");
        }
    }
}

/// Sends notes until all are sent that were left before `finished`.
pub async fn run(
    mut left: Left,
    client: Client,
    incarnation: Arc<SeenIncarnation>,
    finished: CancellationToken,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        let more = tokio::select! {
            more = left.recv_many(&mut group, GROUP) => more,
            () = finished.cancelled(), if !left.is_closed() => {
                left.close();
                continue;
            }
        };
        if more == 0 {
            break;
        }
        let acked = group
            .iter()
            .map(|resend| resend.acked)
            .max()
            .unwrap_or_else(Instant::now);
        for resend in group.drain(..) {
            if let Err(reason) = send(&client, &incarnation, &resend.note, acked).await {
                tracing::debug!(seq = resend.note.seq, %reason, "a resend leaves no note");
            }
        }
    }
    if timeout(FLUSH, client.flush()).await.is_err() {
        tracing::debug!("the last notes of resends may not have been sent");
    }
}

async fn send(
    client: &Client,
    incarnation: &SeenIncarnation,
    note: &ResendNote,
    acked: Instant,
) -> Result<(), async_nats::Error> {
    if !incarnation.still(&note.incarnation, acked).await? {
        return Err("the stream was made anew, so the sequence may be another batch's".into());
    }
    client
        .publish(NOTE_DUPLICATE, serde_json::to_vec(note)?.into())
        .await?;
    Ok(())
}
