//! [`QueryReads`] from Postgres.

use types::id::MessageIdentity;
use types::stream::StreamIncarnation;

use super::database::Postgres;
use super::statements::{Param, list, one};
use crate::error::StoreError;
use crate::query_reads::{
    ALERTS, ALERTS_OF, DAY_COUNTS, DAYS, DEVELOPERS, FIRST_DAY, FIRST_SUBMISSION, NOT_ACCEPTED,
    NotAccepted, QueryReads, SUBMISSIONS, StoredAlert, StoredBatch, StoredCounts, StoredDay,
};
use crate::row::Row;
use crate::submission::Submission;

impl QueryReads for Postgres {
    async fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> Result<Vec<Submission>, StoreError> {
        let key: [Param<'_>; 2] = [&developer, &batch_id];
        self.list(SUBMISSIONS.postgres, &key, Submission::decode)
            .await
    }

    async fn stored(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
        message: MessageIdentity,
    ) -> Result<Option<StoredBatch>, StoreError> {
        let query = (incarnation, seq as i64, message);
        self.read(query, |tx, (incarnation, seq, message)| {
            Box::pin(async move {
                let key: [Param<'_>; 6] = [
                    &incarnation.name,
                    &incarnation.created,
                    seq,
                    &message.developer,
                    &message.batch_id,
                    &message.message_id,
                ];
                let first = one(tx, FIRST_SUBMISSION.postgres, &key, Submission::decode).await?;
                let Some(first) = first else { return Ok(None) };
                let seq = first.at.seq as i64;
                let key: [Param<'_>; 2] = [&first.at.src, &seq];
                let not_accepted =
                    list(tx, NOT_ACCEPTED.postgres, &key, NotAccepted::decode).await?;
                Ok(Some(StoredBatch {
                    first,
                    not_accepted,
                }))
            })
        })
        .await
    }

    async fn days(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> Result<Vec<StoredDay>, StoreError> {
        self.list(DAYS.postgres, &[&developer, &from, &to], StoredDay::decode)
            .await
    }

    async fn day_counts(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> Result<Vec<StoredCounts>, StoreError> {
        let range: [Param<'_>; 3] = [&developer, &from, &to];
        self.list(DAY_COUNTS.postgres, &range, StoredCounts::decode)
            .await
    }

    async fn first_day(
        &self,
        developer: String,
        from: String,
    ) -> Result<Option<String>, StoreError> {
        let key: [Param<'_>; 2] = [&developer, &from];
        let days = self.list(FIRST_DAY.postgres, &key, |row| row.value(0));
        Ok(days.await?.pop())
    }

    async fn developers(&self) -> Result<Vec<String>, StoreError> {
        self.list(DEVELOPERS.postgres, &[], |row| row.value(0))
            .await
    }

    async fn alerts(
        &self,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<StoredAlert>, StoreError> {
        let limit = i64::from(limit);
        match developer {
            Some(developer) => {
                let key: [Param<'_>; 2] = [&limit, &developer];
                self.list(ALERTS_OF.postgres, &key, StoredAlert::decode)
                    .await
            }
            None => {
                self.list(ALERTS.postgres, &[&limit], StoredAlert::decode)
                    .await
            }
        }
    }
}
