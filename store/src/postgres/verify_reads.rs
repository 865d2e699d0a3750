//! [`VerifyReads`] from Postgres: each answer of one moment, without locks.

use std::collections::BTreeMap;

use types::id::Src;
use types::stream::StreamIncarnation;

use super::database::Postgres;
use super::statements::{Param, list, one, rows};
use crate::error::StoreError;
use crate::identity::bound;
use crate::row::{Row, count};
use crate::verify_reads::{
    ACCOUNT_BATCHES, ACCOUNT_DUPLICATES, ACCOUNT_EVENTS, ACCOUNT_REFUSED, ACCOUNT_STEPS, Account,
    Accounts, EXPLAINED, INCARNATION, IS_ADOPTED, SOURCE, STATES, TOTALS, Totals, UNFINISHED,
    VerifyReads, decode_incarnation, decode_state_count,
};

impl VerifyReads for Postgres {
    async fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> Result<Option<Src>, StoreError> {
        let key: [Param<'_>; 2] = [&incarnation.name, &incarnation.created];
        self.one(SOURCE.postgres, &key, |row| row.value(0)).await
    }

    async fn incarnation(&self, src: Src) -> Result<Option<StreamIncarnation>, StoreError> {
        self.one(INCARNATION.postgres, &[&src], decode_incarnation)
            .await
    }

    async fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError> {
        let bound = |seq| i64::try_from(seq).unwrap_or(i64::MAX);
        let range = Range {
            src,
            from: bound(from),
            to: bound(to),
        };
        self.read(range, |tx, range| {
            Box::pin(async move {
                let range: [Param<'_>; 3] = [&range.src, &range.from, &range.to];
                let mut accounts = Accounts::default();
                for row in rows(tx, ACCOUNT_BATCHES.postgres, &range).await? {
                    accounts.add_batch(&row)?;
                }
                for row in rows(tx, ACCOUNT_EVENTS.postgres, &range).await? {
                    accounts.add_event(&row)?;
                }
                for row in rows(tx, ACCOUNT_REFUSED.postgres, &range).await? {
                    accounts.add_refused(&row)?;
                }
                for row in rows(tx, ACCOUNT_DUPLICATES.postgres, &range).await? {
                    accounts.add_duplicate(&row)?;
                }
                for row in rows(tx, ACCOUNT_STEPS.postgres, &range).await? {
                    accounts.add_step(&row)?;
                }
                Ok(accounts.into_vec())
            })
        })
        .await
    }

    async fn unfinished(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let states = self.list(UNFINISHED.postgres, &[], decode_state_count);
        Ok(states.await?.into_iter().collect())
    }

    async fn explained(&self, src: Src, from: u64, to: u64) -> Result<Vec<u64>, StoreError> {
        let key: [Param<'_>; 3] = [&src, &bound(from), &bound(to)];
        self.list(EXPLAINED.postgres, &key, |row| count(row, 0))
            .await
    }

    async fn is_adopted(&self, src: Src) -> Result<bool, StoreError> {
        let found = self.one(IS_ADOPTED.postgres, &[&src], |_| Ok(())).await?;
        Ok(found.is_some())
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read((), |tx, ()| {
            Box::pin(async move {
                let states = list(tx, STATES.postgres, &[], decode_state_count).await?;
                let totals = one(tx, TOTALS.postgres, &[], Totals::decode).await?;
                Ok(Totals {
                    batches: states.into_iter().collect(),
                    ..totals.unwrap_or_default()
                })
            })
        })
        .await
    }
}

/// Sequences of one incarnation, both ends included.
struct Range {
    src: Src,
    from: i64,
    to: i64,
}
