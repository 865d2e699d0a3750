-- The spine: batches, events, what was refused, and the audit. Times are microseconds since 1970 in
-- UTC; client text that may hold anything (NUL too) is a BYTEA. The twin of the file of this name for
-- SQLite: same tables, columns and view. Keys sort by their bytes, whatever the database's locale.

-- One life of one stream. Every (src, seq) in the store is relative to one of these.
CREATE TABLE sources (
  src        BIGINT PRIMARY KEY,
  stream     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (stream, created_at)
);

CREATE TABLE developers (
  developer     TEXT COLLATE "C" PRIMARY KEY,
  epoch         BIGINT NOT NULL DEFAULT 0,
  -- Messages up to here belong to a forgotten past: only their skeleton is kept.
  tombstone_src BIGINT,
  tombstone_seq BIGINT
);

-- need, done, failed: bits 1 aggregate, 2 normalize, 4 alert. A row in state 'persisted' is the outbox.
CREATE TABLE batches (
  src            BIGINT NOT NULL,
  seq            BIGINT NOT NULL,
  developer      TEXT COLLATE "C" NOT NULL,
  batch_id       TEXT COLLATE "C" NOT NULL,
  events_hash    TEXT NOT NULL,
  correlation_id TEXT COLLATE "C" NOT NULL,
  traceparent    TEXT NOT NULL,
  schema_version TEXT NOT NULL,
  sent_at        TEXT NOT NULL,
  skew           BIGINT NOT NULL,
  collector      TEXT NOT NULL,
  client         BYTEA,
  received_at    BIGINT NOT NULL,
  validated_at   BIGINT NOT NULL,
  published_at   BIGINT NOT NULL,
  persisted_at   BIGINT NOT NULL,
  received       INTEGER NOT NULL,
  accepted       INTEGER NOT NULL,
  duplicate      INTEGER NOT NULL,
  rejected       INTEGER NOT NULL,
  quarantined    INTEGER NOT NULL,
  need           INTEGER NOT NULL,
  done           INTEGER NOT NULL DEFAULT 0,
  failed         INTEGER NOT NULL DEFAULT 0,
  state          TEXT NOT NULL CHECK (state IN ('persisted', 'triggered', 'completed', 'failed')),
  job_body       TEXT NOT NULL,
  lease_until    BIGINT NOT NULL,
  PRIMARY KEY (src, seq)
);
CREATE INDEX batches_by_id ON batches (developer, batch_id);
CREATE INDEX batches_by_correlation ON batches (correlation_id);
CREATE INDEX batches_by_state ON batches (state, src, seq);

-- Each event once. Its reference is that of the first submission, by (src, seq, ordinal). Split by
-- developer: an index of one partition stays small, and everything asks for one developer's events.
CREATE TABLE events (
  src            BIGINT NOT NULL,
  seq            BIGINT NOT NULL,
  ordinal        INTEGER NOT NULL,
  developer      TEXT COLLATE "C" NOT NULL,
  event_id       TEXT COLLATE "C" NOT NULL,
  type           TEXT NOT NULL,
  schema_version TEXT NOT NULL,
  effective_at   BIGINT NOT NULL,
  local_day      TEXT COLLATE "C" NOT NULL,
  body           BYTEA NOT NULL,
  hash           BYTEA NOT NULL,
  PRIMARY KEY (developer, event_id)
) PARTITION BY HASH (developer);
DO $$
BEGIN
  FOR part IN 0..15 LOOP
    EXECUTE format('CREATE TABLE events_%s PARTITION OF events FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                   part, part);
  END LOOP;
END $$;
CREATE INDEX events_by_reference ON events (src, seq, ordinal);
CREATE INDEX events_by_time ON events (developer, effective_at, event_id);

-- Refused events, whole. verdict 'quarantined' may be admitted later, 'rejected' never.
CREATE TABLE refused (
  src       BIGINT NOT NULL,
  seq       BIGINT NOT NULL,
  ordinal   INTEGER NOT NULL,
  developer TEXT COLLATE "C" NOT NULL,
  event_id  TEXT COLLATE "C",
  verdict   TEXT NOT NULL CHECK (verdict IN ('quarantined', 'rejected')),
  code      TEXT NOT NULL,
  pointer   TEXT,
  detail    TEXT,
  body      BYTEA NOT NULL,
  hash      BYTEA NOT NULL,
  PRIMARY KEY (src, seq, ordinal)
);
CREATE INDEX refused_by_event ON refused (developer, event_id);

-- Dropped duplicates. The original is the row of `events` with the same key; the bytes are kept
-- only where they are not the original's.
CREATE TABLE duplicates (
  src       BIGINT NOT NULL,
  seq       BIGINT NOT NULL,
  ordinal   INTEGER NOT NULL,
  developer TEXT COLLATE "C" NOT NULL,
  event_id  TEXT COLLATE "C" NOT NULL,
  hash      BYTEA NOT NULL,
  body      BYTEA,
  PRIMARY KEY (src, seq, ordinal)
);
CREATE INDEX duplicates_by_event ON duplicates (developer, event_id);

-- R7.2: each dropped duplicate with sequence, ordinal, batch id and receipt of its original.
CREATE VIEW duplicates_with_originals AS
SELECT d.src, d.seq, d.ordinal, d.developer, d.event_id,
       e.src AS original_src, e.seq AS original_seq, e.ordinal AS original_ordinal,
       b.batch_id AS original_batch_id, b.received_at AS original_received_at
FROM duplicates d
JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
JOIN batches b ON b.src = e.src AND b.seq = e.seq;

-- The generation of a UTC hour (hours since 1970) rises whenever its events change.
CREATE TABLE hours (
  developer TEXT COLLATE "C" NOT NULL,
  hour      BIGINT NOT NULL,
  gen       BIGINT NOT NULL,
  PRIMARY KEY (developer, hour)
);

-- Append only. The skeleton names no person; hash = H(skeleton, H(salt, personal part)).
CREATE TABLE audit (
  id            BYTEA PRIMARY KEY,
  time          BIGINT NOT NULL,
  step          TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  actor         TEXT NOT NULL,
  src           BIGINT NOT NULL,
  seq           BIGINT NOT NULL,
  replay_id     TEXT,
  personal_hash BYTEA NOT NULL,
  hash          BYTEA NOT NULL
);
CREATE INDEX audit_by_batch ON audit (src, seq);

-- Only `forget` deletes from here.
CREATE TABLE audit_personal (
  id             BYTEA PRIMARY KEY,
  salt           BYTEA NOT NULL,
  developer      TEXT COLLATE "C" NOT NULL,
  batch_id       TEXT COLLATE "C" NOT NULL,
  event_id       TEXT COLLATE "C",
  correlation_id TEXT COLLATE "C" NOT NULL,
  detail         TEXT
);
