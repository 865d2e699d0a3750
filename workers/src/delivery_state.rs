//! The delivery state of messages, kept in the store (`docs/protocol.md`, Persist).

use std::collections::BTreeMap;

use bus::pull::{DeliveryState, Failure, MessagePosition, PriorAttempts, PullSettings};
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetrySettings;
use store::{Attempt, Attempts, MessageKey, Persist, Recovery, StoreError};
use types::dead_letter::{DeadLetter, MessageContext};
use types::id::Src;
use types::stream::StreamIncarnation;
use types::time::Micros;

use crate::error_class;

/// How the workers' loops pull: all of a process share the breaker of its store.
#[must_use]
pub fn pulling(retry: RetrySettings, breakers: BreakerSettings, process: &Process) -> PullSettings {
    let guard = process.breakers.guard("store", breakers);
    PullSettings::new(retry, guard, process.actor.to_string())
}

/// Keeps delivery state in the table `attempts`.
pub struct StoreDeliveryState<S> {
    store: S,
    actor: String,
}

impl<S: Persist + Attempts> StoreDeliveryState<S> {
    /// The audit names `actor` for what it dead-letters.
    pub fn new(store: S, actor: String) -> Self {
        Self { store, actor }
    }

    async fn key(&self, position: MessagePosition<'_>) -> Result<MessageKey, Failure> {
        let src = self.source(position.incarnation).await?;
        Ok(MessageKey {
            src,
            consumer: position.consumer.to_owned(),
            seq: position.seq,
        })
    }
}

fn classified<T>(result: Result<T, StoreError>) -> Result<T, Failure> {
    result.map_err(|error| error_class::failure(&error))
}

impl<S: Persist + Attempts> DeliveryState for StoreDeliveryState<S> {
    async fn source(&self, incarnation: &StreamIncarnation) -> Result<Src, Failure> {
        classified(self.store.source(incarnation).await)
    }

    /// A write and its commit, as each message needs: a full disk and a standby still answer queries.
    async fn probe(&self, probed: MessagePosition<'_>) -> Result<bool, Failure> {
        let key = self.key(probed).await?;
        classified(self.store.begin_attempt(key.clone(), clock::now()).await)?;
        classified(
            self.store
                .remove_attempts(key.src, key.consumer, vec![key.seq])
                .await,
        )?;
        Ok(true)
    }

    async fn load(
        &self,
        incarnation: &StreamIncarnation,
        consumer: &str,
        seqs: &[u64],
    ) -> Result<BTreeMap<u64, PriorAttempts>, Failure> {
        let src = self.source(incarnation).await?;
        let found = classified(
            self.store
                .load_attempts(src, consumer.to_owned(), seqs.to_vec())
                .await,
        )?;
        Ok(found
            .into_iter()
            .map(|found| (found.seq, prior_attempts(found.attempt, 0)))
            .collect())
    }

    async fn begin_attempt(
        &self,
        position: MessagePosition<'_>,
        now: Micros,
    ) -> Result<PriorAttempts, Failure> {
        let key = self.key(position).await?;
        Ok(prior_attempts(
            classified(self.store.begin_attempt(key, now).await)?,
            1,
        ))
    }

    async fn clear_attempt(&self, position: MessagePosition<'_>) -> Result<(), Failure> {
        let key = self.key(position).await?;
        classified(self.store.clear_attempt(key).await)
    }

    async fn record_failure(
        &self,
        position: MessagePosition<'_>,
        reason: &str,
        now: Micros,
    ) -> Result<u32, Failure> {
        let key = self.key(position).await?;
        let attempt = classified(self.store.record_failure(key, plain(reason), now).await)?;
        Ok(attempt.used)
    }

    async fn record_dead_letter(
        &self,
        position: MessagePosition<'_>,
        dead_letter: DeadLetter,
    ) -> Result<(), Failure> {
        let key = self.key(position).await?;
        let reason = dead_letter.reason.as_deref().map(plain);
        classified(
            self.store
                .record_dead_letter(
                    key,
                    DeadLetter {
                        reason,
                        ..dead_letter
                    },
                )
                .await,
        )
    }

    async fn record_recovery(
        &self,
        position: MessagePosition<'_>,
        context: &MessageContext,
        now: Micros,
    ) -> Result<(), Failure> {
        let recovery = Recovery {
            key: self.key(position).await?,
            at: now,
            actor: self.actor.clone(),
            batch: context.batch,
            developer: context.developer.clone().unwrap_or_default(),
            batch_id: context.batch_id.clone().unwrap_or_default(),
            correlation_id: context.correlation_id.clone().unwrap_or_default(),
            job: context.job.clone(),
        };
        classified(self.store.record_recovery(recovery).await)
    }

    async fn forget(
        &self,
        incarnation: &StreamIncarnation,
        consumer: &str,
        seqs: &[u64],
    ) -> Result<(), Failure> {
        let src = self.source(incarnation).await?;
        classified(
            self.store
                .remove_attempts(src, consumer.to_owned(), seqs.to_vec())
                .await,
        )
    }
}

/// The attempts before this one; `own_marks` of the marks are its own.
fn prior_attempts(attempt: Attempt, own_marks: u32) -> PriorAttempts {
    PriorAttempts {
        used: attempt.used,
        died: attempt.guards.saturating_sub(own_marks),
        reason: attempt.reason,
        dead_at: attempt.dead_at,
    }
}

/// A reason may repeat what a hostile message says: a text column takes no NUL, and the text is bounded.
fn plain(reason: &str) -> String {
    types::json::shorten(&types::json::replace_nul(reason), 4096)
}
