//! [`Store`] of this engine.

use super::database::Sqlite;
use crate::store::Store;

impl Store for Sqlite {}
