//! The names of streams by the numbers of their incarnations.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use types::id::Src;

use crate::error::StoreError;
use crate::verify_reads::VerifyReads;

/// The names of streams by the numbers of their incarnations, each looked up once.
#[derive(Debug, Default)]
pub struct StreamNames(BTreeMap<Src, String>);

impl StreamNames {
    /// The name of the stream that batches of this number came in.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store does not answer, or gave the number to no stream.
    pub async fn of(&mut self, store: &impl VerifyReads, src: Src) -> Result<&str, StoreError> {
        match self.0.entry(src) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let incarnation = store.incarnation(src).await?;
                let unnamed = || StoreError::Failed(format!("no stream has the number {src}"));
                Ok(unknown.insert(incarnation.ok_or_else(unnamed)?.name))
            }
        }
    }
}
