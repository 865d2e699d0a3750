//! Audit notes of resends that the stream dropped: they leave no message of their own.
//!
//! Nothing waits for a note. If it cannot be sent, the resend leaves no trace, and nothing else is lost.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use types::query::{RESEND_NOTES, ResendNote};

use crate::partitions::Partitions;

/// Notes that may be queued; more are dropped.
const QUEUE: usize = 1024;
/// Notes that share one read of the stream's incarnation.
const GROUP: usize = 64;
/// How long sending the queued notes may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// A resend that the server called a duplicate.
#[derive(Debug)]
pub struct Resend {
    /// Its incarnation is the one read before the publish.
    pub note: ResendNote,
    /// When its PubAck had come.
    pub acked: Instant,
}

/// The queue of audit notes.
pub struct AuditNotes(mpsc::Sender<Resend>);

/// Sends the queued notes.
pub struct AuditNoteSender {
    pub queued: mpsc::Receiver<Resend>,
    pub client: Client,
    pub partitions: Arc<Partitions>,
}

impl AuditNotes {
    /// An empty queue, and its end for [`AuditNoteSender`].
    #[must_use]
    pub fn queue() -> (Self, mpsc::Receiver<Resend>) {
        let (sender, queued) = mpsc::channel(QUEUE);
        (Self(sender), queued)
    }

    /// Enqueues a note; returns at once.
    pub fn enqueue(&self, resend: Resend) {
        if let Err(error) = self.0.try_send(resend) {
            tracing::debug!(%error, "a resend leaves no note");
        }
    }
}

impl AuditNoteSender {
    /// Sends notes until all are sent that were queued before `finished`.
    pub async fn run(mut self, finished: CancellationToken) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let received = tokio::select! {
                received = self.queued.recv_many(&mut group, GROUP) => received,
                () = finished.cancelled(), if !self.queued.is_closed() => {
                    self.queued.close();
                    continue;
                }
            };
            if received == 0 {
                break;
            }
            let acked = group.iter().map(|resend| resend.acked).max();
            let acked = acked.unwrap_or_else(Instant::now);
            for resend in group.drain(..) {
                if let Err(reason) = self.send(&resend.note, acked).await {
                    tracing::debug!(seq = resend.note.seq, %reason, "a resend leaves no note");
                }
            }
        }
        if timeout(FLUSH, self.client.flush()).await.is_err() {
            tracing::debug!("the last notes of resends may not have been sent");
        }
    }

    async fn send(&self, note: &ResendNote, acked: Instant) -> Result<(), async_nats::Error> {
        let partition = self.partitions.named(&note.incarnation.name);
        let is_unchanged = match partition {
            Some(partition) => {
                let incarnation = &partition.incarnation;
                incarnation.is_unchanged(&note.incarnation, acked).await?
            }
            None => false,
        };
        if !is_unchanged {
            return Err("the stream was recreated, so the sequence may be another batch's".into());
        }
        let payload = serde_json::to_vec(note)?;
        self.client.publish(RESEND_NOTES, payload.into()).await?;
        Ok(())
    }
}
