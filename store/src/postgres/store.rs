//! [`Store`] of this engine.

use super::database::Postgres;
use crate::store::Store;

impl Store for Postgres {}
