//! [`Retention`] from Postgres, in the order of the primary key.

use types::id::Src;

use super::database::Postgres;
use crate::error::StoreError;
use crate::retention::{
    BatchProgress, NEXT_STORED, Retention, STAGES_IN_POSTGRES, STORED_BELOW, decode_number,
};

impl Retention for Postgres {
    async fn stages(
        &self,
        src: Src,
        from: u64,
        limit: u32,
    ) -> Result<Vec<BatchProgress>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(Vec::new());
        };
        let sql = STAGES_IN_POSTGRES.postgres;
        self.list(
            sql,
            &[&src, &from, &i64::from(limit)],
            BatchProgress::decode,
        )
        .await
    }

    async fn next_stored(&self, src: Src, from: u64) -> Result<Option<u64>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(None);
        };
        let next = self
            .one(NEXT_STORED.postgres, &[&src, &from], decode_number)
            .await?;
        Ok(next.flatten())
    }

    async fn stored_below(&self, src: Src, seq: u64) -> Result<u64, StoreError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let below = self
            .one(STORED_BELOW.postgres, &[&src, &seq], decode_number)
            .await?;
        Ok(below.flatten().unwrap_or_default())
    }
}
