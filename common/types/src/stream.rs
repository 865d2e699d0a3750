//! The incarnation of a stream, within which a sequence is unique.

use serde::{Deserialize, Serialize};

use crate::time::Micros;

/// One incarnation of a stream: a stream that is deleted and recreated has another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamIncarnation {
    /// The stream's name.
    pub name: String,
    /// When the server made it.
    pub created: Micros,
}
