//! All roles together.

use crate::alert_outbox::AlertOutbox;
use crate::attempts::Attempts;
use crate::dead_letters::DeadLetters;
use crate::export::ExportReads;
use crate::history::History;
use crate::identity::Identity;
use crate::jobs::Jobs;
use crate::monitoring::Monitoring;
use crate::outbox::Outbox;
use crate::persist::Persist;
use crate::query_reads::QueryReads;
use crate::retention::Retention;
use crate::verify_reads::VerifyReads;

/// All that the workers need of a store. Cheap to clone; all clones share connections and writer.
pub trait Store:
    Persist
    + Outbox
    + Jobs
    + AlertOutbox
    + Attempts
    + DeadLetters
    + VerifyReads
    + QueryReads
    + ExportReads
    + History
    + Retention
    + Monitoring
    + Identity
    + Clone
{
}
