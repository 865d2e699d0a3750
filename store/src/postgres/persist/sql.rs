//! The statements of `store_batches` (T1). Each takes its rows as an array a column, sorted by key.

pub const INSERT_DEVELOPERS: &str =
    "INSERT INTO developers (developer) SELECT * FROM unnest($1::text[])
    ON CONFLICT DO NOTHING";
/// The lock makes `forget` wait for every `store_batches` in flight, and no `store_batches` for another.
pub const TOMBSTONES: &str = "SELECT developer, tombstone_src, tombstone_seq FROM developers
    WHERE developer = ANY($1) ORDER BY developer FOR KEY SHARE";
/// What the events come to is not known yet: UPDATE_BATCHES says it, in the same transaction.
pub const INSERT_BATCHES: &str = "INSERT INTO batches
    (src, seq, developer, batch_id, events_hash, correlation_id, traceparent, schema_version, sent_at,
     skew, collector, client, received_at, validated_at, published_at, persisted_at,
     received, accepted, duplicate, rejected, quarantined, need, state, job_body, lease_until)
    SELECT u.*, 0, 0, 0, 0, 0, 0, 'persisted', '', 0
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bytea[], $13::bigint[], $14::bigint[],
        $15::bigint[], $16::bigint[]) u
    ON CONFLICT (src, seq) DO NOTHING RETURNING src, seq";
pub const STATES: &str = "SELECT b.src, b.seq, b.state, b.published_at, b.developer, b.batch_id
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq";
pub const INSERT_EVENTS: &str = "INSERT INTO events
    (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::text[], $10::bytea[], $11::bytea[])
    ON CONFLICT (developer, event_id) DO NOTHING RETURNING developer, event_id";
/// Never in the inserting statement: its snapshot does not see what it waited for.
pub const OWNERS: &str = "SELECT e.src, e.seq, e.ordinal, e.developer, e.event_id, e.hash, e.body,
        e.effective_at, e.local_day
    FROM unnest($1::text[], $2::text[]) k (developer, event_id)
    JOIN events e ON e.developer = k.developer AND e.event_id = k.event_id
    ORDER BY e.developer, e.event_id FOR UPDATE OF e";
/// A change, no removal: who waits for the row finds it afterwards.
pub const SUPERSEDE_EVENTS: &str = "UPDATE events e
    SET src = u.src, seq = u.seq, ordinal = u.ordinal, type = u.type, schema_version = u.schema_version,
        effective_at = u.effective_at, local_day = u.local_day, body = u.body, hash = u.hash
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::text[], $10::bytea[], $11::bytea[])
        u (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    WHERE e.developer = u.developer AND e.event_id = u.event_id";
pub const RECEIPTS: &str = "SELECT b.src, b.seq, b.batch_id, b.received_at
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq";
pub const TAKE_CONFLICTS: &str = "DELETE FROM refused r
    USING unnest($1::text[], $2::text[]) k (developer, event_id)
    WHERE r.developer = k.developer AND r.event_id = k.event_id AND r.code = 'id_conflict'
    RETURNING r.src, r.seq, r.ordinal, r.developer, r.event_id, r.hash, r.body";
pub const TAKE_DUPLICATES: &str = "DELETE FROM duplicates d
    USING unnest($1::text[], $2::text[]) k (developer, event_id)
    WHERE d.developer = k.developer AND d.event_id = k.event_id
    RETURNING d.src, d.seq, d.ordinal, d.developer, d.event_id, d.hash, d.body";
pub const INSERT_REFUSED: &str = "INSERT INTO refused
    (src, seq, ordinal, developer, event_id, verdict, code, pointer, detail, body, hash)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[])";
pub const INSERT_DUPLICATES: &str =
    "INSERT INTO duplicates (src, seq, ordinal, developer, event_id, hash, body)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bytea[],
        $7::bytea[])";
pub const BUMP_HOURS: &str = "INSERT INTO hours (developer, hour, gen)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
    ON CONFLICT (developer, hour) DO UPDATE SET gen = hours.gen + excluded.gen";
/// The first lease is the own trigger task's: 5 s by the database's clock, then it is the sweep's.
pub const UPDATE_BATCHES: &str = "UPDATE batches b
    SET received = u.received, accepted = u.accepted, duplicate = u.duplicate, rejected = u.rejected,
        quarantined = u.quarantined, need = u.need, state = u.state, job_body = u.job_body,
        lease_until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 5000000
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::integer[],
        $7::integer[], $8::integer[], $9::text[], $10::text[])
        u (src, seq, received, accepted, duplicate, rejected, quarantined, need, state, job_body)
    WHERE b.src = u.src AND b.seq = u.seq";
/// The lock keeps two lives from one number; it is held once in a stream's life.
pub const LOCK_SOURCES: &str = "LOCK TABLE sources IN SHARE ROW EXCLUSIVE MODE";
pub const INSERT_SOURCE: &str = "INSERT INTO sources (src, stream, created_at)
    SELECT coalesce(max(src), 0) + 1, $1, $2 FROM sources ON CONFLICT (stream, created_at) DO NOTHING";
