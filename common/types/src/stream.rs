//! What a stream sequence is a sequence of.

use serde::{Deserialize, Serialize};

use crate::time::Micros;

/// One life of a stream: a stream that was deleted and made again is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamIncarnation {
    /// The stream's name.
    pub name: String,
    /// When the server made it.
    pub created: Micros,
}
