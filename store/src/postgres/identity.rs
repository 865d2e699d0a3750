//! [`Identity`] in Postgres.

use types::id::Src;

use super::audit;
use super::database::Postgres;
use super::statements::{Param, execute, one};
use crate::audit_rows;
use crate::error::StoreError;
use crate::identity::{
    GAPS, HAS_BATCHES, Identity, MAKE_STORE_ID, Reread, STORE_ID, SeqGap, bound, new_store_id,
    written,
};
use crate::persist::Persist;
use crate::row::Row as _;

impl Identity for Postgres {
    async fn store_id(&self) -> Result<Option<String>, StoreError> {
        self.one(STORE_ID.postgres, &[], |row| row.value(0)).await
    }

    async fn make_store_id(&self) -> Result<String, StoreError> {
        self.write(new_store_id(), |tx, id| {
            Box::pin(async move {
                execute(tx, MAKE_STORE_ID.postgres, &[id]).await?;
                let id = one(tx, STORE_ID.postgres, &[], |row| row.value(0)).await?;
                Ok(written(id)?)
            })
        })
        .await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let found = self.one(HAS_BATCHES.postgres, &[], |_| Ok(())).await?;
        Ok(found.is_none())
    }

    async fn gaps(
        &self,
        src: Src,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<SeqGap>, StoreError> {
        let key: [Param<'_>; 4] = [&src, &bound(from), &bound(to), &i64::from(limit)];
        self.list(GAPS.postgres, &key, SeqGap::decode).await
    }

    async fn record_reread(&self, reread: Reread) -> Result<(), StoreError> {
        let src = self.source(&reread.incarnation).await?;
        self.write((reread, src), |tx, (reread, src)| {
            Box::pin(async move {
                let row = audit_rows::reread(reread, *src);
                audit::append(tx, &[row], |_| true).await
            })
        })
        .await
    }
}
