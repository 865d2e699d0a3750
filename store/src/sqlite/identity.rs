//! [`Identity`] in SQLite.

use rusqlite::params;
use types::id::Src;

use super::audit::{self, Keep};
use super::database::Sqlite;
use super::statements::{execute, exists, list, one};
use crate::audit_rows;
use crate::error::StoreError;
use crate::identity::{
    GAPS, HAS_BATCHES, Identity, MAKE_STORE_ID, Reread, STORE_ID, SeqGap, bound, new_store_id,
    written,
};
use crate::persist::Persist;
use crate::row::Row as _;

impl Identity for Sqlite {
    async fn store_id(&self) -> Result<Option<String>, StoreError> {
        self.read(|connection| one(connection, STORE_ID.sqlite, [], |row| row.value(0)))
            .await
    }

    async fn make_store_id(&self) -> Result<String, StoreError> {
        self.write(|connection| {
            execute(connection, MAKE_STORE_ID.sqlite, [new_store_id()])?;
            written(one(connection, STORE_ID.sqlite, [], |row| row.value(0))?)
        })
        .await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|connection| Ok(!exists(connection, HAS_BATCHES.sqlite, [])?))
            .await
    }

    async fn gaps(
        &self,
        src: Src,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<SeqGap>, StoreError> {
        self.read(move |connection| {
            let key = params![src, bound(from), bound(to), limit];
            list(connection, GAPS.sqlite, key, |row| SeqGap::decode(row))
        })
        .await
    }

    async fn record_reread(&self, reread: Reread) -> Result<(), StoreError> {
        let src = self.source(&reread.incarnation).await?;
        self.write(move |connection| {
            let row = audit_rows::reread(&reread, src);
            audit::append(connection, &[row], Keep::All)
        })
        .await
    }
}
