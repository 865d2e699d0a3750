//! [`VerifyReads`] from SQLite: short reads beside the writer, paged by key.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use types::id::Src;
use types::stream::StreamIncarnation;

use super::database::Sqlite;
use super::statements::{exists, list, one};
use crate::error::StoreError;
use crate::identity::bound;
use crate::row::{Row as _, count};
use crate::verify_reads::{
    ACCOUNT_BATCHES, ACCOUNT_DUPLICATES, ACCOUNT_EVENTS, ACCOUNT_REFUSED, ACCOUNT_STEPS, Account,
    Accounts, EXPLAINED, INCARNATION, IS_ADOPTED, SOURCE, STATES, TOTALS, Totals, UNFINISHED,
    VerifyReads, decode_incarnation, decode_state_count,
};

impl VerifyReads for Sqlite {
    async fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> Result<Option<Src>, StoreError> {
        let incarnation = incarnation.clone();
        self.read(move |connection| {
            let key = params![incarnation.name, incarnation.created];
            one(connection, SOURCE.sqlite, key, |row| row.value(0))
        })
        .await
    }

    async fn incarnation(&self, src: Src) -> Result<Option<StreamIncarnation>, StoreError> {
        self.read(move |connection| {
            one(connection, INCARNATION.sqlite, [src], |row| {
                decode_incarnation(row)
            })
        })
        .await
    }

    async fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError> {
        let range = Range {
            src,
            from: from as i64,
            to: i64::try_from(to).unwrap_or(i64::MAX),
        };
        self.read(move |connection| {
            let mut accounts = Accounts::default();
            range.each(connection, ACCOUNT_BATCHES.sqlite, |row| {
                accounts.add_batch(row)
            })?;
            range.each(connection, ACCOUNT_EVENTS.sqlite, |row| {
                accounts.add_event(row)
            })?;
            range.each(connection, ACCOUNT_REFUSED.sqlite, |row| {
                accounts.add_refused(row)
            })?;
            range.each(connection, ACCOUNT_DUPLICATES.sqlite, |row| {
                accounts.add_duplicate(row)
            })?;
            range.each(connection, ACCOUNT_STEPS.sqlite, |row| {
                accounts.add_step(row)
            })?;
            Ok(accounts.into_vec())
        })
        .await
    }

    async fn unfinished(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.read(|connection| {
            let states = list(connection, UNFINISHED.sqlite, [], |row| {
                decode_state_count(row)
            })?;
            Ok(states.into_iter().collect())
        })
        .await
    }

    async fn explained(&self, src: Src, from: u64, to: u64) -> Result<Vec<u64>, StoreError> {
        self.read(move |connection| {
            let key = params![src, bound(from), bound(to)];
            list(connection, EXPLAINED.sqlite, key, |row| count(row, 0))
        })
        .await
    }

    async fn is_adopted(&self, src: Src) -> Result<bool, StoreError> {
        self.read(move |connection| exists(connection, IS_ADOPTED.sqlite, [src]))
            .await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(|connection| {
            let states = list(connection, STATES.sqlite, [], |row| decode_state_count(row))?;
            let totals = one(connection, TOTALS.sqlite, [], |row| Totals::decode(row))?;
            Ok(Totals {
                batches: states.into_iter().collect(),
                ..totals.unwrap_or_default()
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

impl Range {
    fn each(
        &self,
        connection: &Connection,
        sql: &str,
        mut add: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![self.src, self.from, self.to])?;
        while let Some(row) = rows.next()? {
            add(row)?;
        }
        Ok(())
    }
}
