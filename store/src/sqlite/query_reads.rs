//! [`QueryReads`] from SQLite.

use rusqlite::params;
use types::id::MessageIdentity;
use types::stream::StreamIncarnation;

use super::database::Sqlite;
use super::statements::{list, one};
use crate::error::StoreError;
use crate::query_reads::{
    ALERTS, ALERTS_OF, DAY_COUNTS, DAYS, DEVELOPERS, FIRST_DAY, FIRST_SUBMISSION, NOT_ACCEPTED,
    NotAccepted, QueryReads, SUBMISSIONS, StoredAlert, StoredBatch, StoredCounts, StoredDay,
};
use crate::row::Row;
use crate::submission::Submission;

impl QueryReads for Sqlite {
    async fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> Result<Vec<Submission>, StoreError> {
        self.read(move |connection| {
            let key = [developer, batch_id];
            list(connection, SUBMISSIONS.sqlite, key, |row| {
                Submission::decode(row)
            })
        })
        .await
    }

    async fn stored(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
        message: MessageIdentity,
    ) -> Result<Option<StoredBatch>, StoreError> {
        self.read(move |connection| {
            let key = params![
                incarnation.name,
                incarnation.created,
                seq as i64,
                message.developer,
                message.batch_id,
                message.message_id
            ];
            let first = one(connection, FIRST_SUBMISSION.sqlite, key, |row| {
                Submission::decode(row)
            })?;
            let Some(first) = first else { return Ok(None) };
            let key = params![first.at.src, first.at.seq as i64];
            let not_accepted = list(connection, NOT_ACCEPTED.sqlite, key, |row| {
                NotAccepted::decode(row)
            })?;
            Ok(Some(StoredBatch {
                first,
                not_accepted,
            }))
        })
        .await
    }

    async fn days(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> Result<Vec<StoredDay>, StoreError> {
        self.read(move |connection| {
            list(connection, DAYS.sqlite, [developer, from, to], |row| {
                StoredDay::decode(row)
            })
        })
        .await
    }

    async fn day_counts(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> Result<Vec<StoredCounts>, StoreError> {
        self.read(move |connection| {
            list(
                connection,
                DAY_COUNTS.sqlite,
                [developer, from, to],
                |row| StoredCounts::decode(row),
            )
        })
        .await
    }

    async fn first_day(
        &self,
        developer: String,
        from: String,
    ) -> Result<Option<String>, StoreError> {
        self.read(move |connection| {
            one(connection, FIRST_DAY.sqlite, [developer, from], |row| {
                row.value(0)
            })
        })
        .await
    }

    async fn developers(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| list(connection, DEVELOPERS.sqlite, [], |row| row.value(0)))
            .await
    }

    async fn alerts(
        &self,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<StoredAlert>, StoreError> {
        self.read(move |connection| match developer {
            Some(developer) => {
                let key = params![limit, developer];
                list(connection, ALERTS_OF.sqlite, key, |row| {
                    StoredAlert::decode(row)
                })
            }
            None => list(connection, ALERTS.sqlite, [limit], |row| {
                StoredAlert::decode(row)
            }),
        })
        .await
    }
}
