//! The statements of `store_batches` (T1).

pub const INSERT_DEVELOPER: &str =
    "INSERT INTO developers (developer) VALUES (?1) ON CONFLICT DO NOTHING";
pub const TOMBSTONE: &str = "SELECT tombstone_src, tombstone_seq FROM developers
    WHERE developer = ?1 AND tombstone_src IS NOT NULL";
pub const BATCH_EXISTS: &str =
    "SELECT state, published_at, developer, batch_id FROM batches WHERE src = ?1 AND seq = ?2";
pub const INSERT_BATCH: &str = "INSERT INTO batches
    (src, seq, developer, batch_id, events_hash, correlation_id, traceparent, schema_version, sent_at, skew, collector, client,
     received_at, validated_at, published_at, persisted_at,
     received, accepted, duplicate, rejected, quarantined, need, state, job_body, lease_until)
    VALUES (:src, :seq, :developer, :batch_id, :events_hash, :correlation_id, :traceparent, :schema_version, :sent_at, :skew,
     :collector, :client, :received_at, :validated_at, :published_at, :persisted_at,
     :received, :accepted, :duplicate, :rejected, :quarantined, :need, :state, :job_body,
     CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :own_lease)";
pub const INSERT_EVENT: &str = "INSERT INTO events
    (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (developer, event_id) DO NOTHING";
pub const OWNER: &str =
    "SELECT e.src, e.seq, e.ordinal, e.hash, e.body, e.effective_at, e.local_day, b.batch_id, b.received_at
    FROM events e LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.developer = ?1 AND e.event_id = ?2";
pub const DELETE_EVENT: &str = "DELETE FROM events WHERE src = ?1 AND seq = ?2 AND ordinal = ?3";
pub const DISPLACED: &str =
    "SELECT src, seq, ordinal, hash, body FROM duplicates WHERE developer = ?1 AND event_id = ?2
    UNION ALL
    SELECT src, seq, ordinal, hash, body FROM refused
    WHERE developer = ?1 AND event_id = ?2 AND code = 'id_conflict'";
pub const DELETE_DUPLICATES: &str = "DELETE FROM duplicates WHERE developer = ?1 AND event_id = ?2";
pub const DELETE_CONFLICTS: &str =
    "DELETE FROM refused WHERE developer = ?1 AND event_id = ?2 AND code = 'id_conflict'";
pub const INSERT_REFUSED: &str = "INSERT INTO refused
    (src, seq, ordinal, developer, event_id, verdict, code, pointer, detail, body, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
pub const INSERT_DUPLICATE: &str =
    "INSERT INTO duplicates (src, seq, ordinal, developer, event_id, hash, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub const BUMP_HOUR: &str = "INSERT INTO hours (developer, hour, gen) VALUES (?1, ?2, 1)
    ON CONFLICT (developer, hour) DO UPDATE SET gen = gen + 1";
pub const INSERT_SOURCE: &str =
    "INSERT INTO sources (stream, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
