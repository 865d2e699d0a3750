-- All tables of Devtrail. Times are microseconds since 1970 in
-- UTC; client text that may hold anything (NUL too) is a BYTEA. The twin of the file of this name for
-- SQLite: same tables, columns and view. Keys sort by their bytes, whatever the database's locale.

-- The id of this store: the streams name it as their owner.
CREATE TABLE store_identity (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  store_id TEXT NOT NULL
);

-- One incarnation of one stream. Every (src, seq) in the store is relative to one of these.
CREATE TABLE sources (
  src        BIGINT PRIMARY KEY,
  stream     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (stream, created_at)
);

CREATE TABLE developers (
  developer     TEXT COLLATE "C" PRIMARY KEY,
  epoch         BIGINT NOT NULL DEFAULT 0,
  -- Messages up to here are from before the developer was forgotten: only their skeleton is stored.
  tombstone_src BIGINT,
  tombstone_seq BIGINT
);

-- need, done, failed: bits 1 aggregate, 2 normalize, 4 alert. A row in state 'persisted' is the outbox.
CREATE TABLE batches (
  src            BIGINT NOT NULL,
  seq            BIGINT NOT NULL,
  developer      TEXT COLLATE "C" NOT NULL,
  batch_id       TEXT COLLATE "C" NOT NULL,
  message_id     TEXT NOT NULL,
  correlation_id TEXT COLLATE "C" NOT NULL,
  traceparent    TEXT NOT NULL,
  schema_version TEXT NOT NULL,
  sent_at        TEXT NOT NULL,
  skew           BIGINT NOT NULL,
  collector      TEXT NOT NULL,
  client         BYTEA,
  -- The zone that the developer had set when the batch was received; NULL if the client named one.
  zone           TEXT,
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
  -- When all its jobs had their PubAcks, by the clock of who published them.
  triggered_at   BIGINT,
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
-- Readers sort by event id as well: the few events of one moment are sorted as they are read.
CREATE INDEX events_by_time ON events (developer, effective_at);

-- Refused events, stored whole. Verdict 'quarantined' may be admitted later, 'rejected' never.
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
-- For exports, which page through a developer's in the order they were received.
CREATE INDEX refused_by_developer ON refused (developer, src, seq, ordinal);

-- Dropped duplicates. The original is the row of `events` with the same key; the bytes are stored
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

-- Where in its hour a generation changed events: all that came, moved or left lie from first_at to last_at.
CREATE TABLE hour_changes (
  developer TEXT COLLATE "C" NOT NULL,
  hour      BIGINT NOT NULL,
  gen       BIGINT NOT NULL,
  first_at  BIGINT NOT NULL,
  last_at   BIGINT NOT NULL,
  PRIMARY KEY (developer, hour, gen)
);

-- Append only. The skeleton names no person; hash = H(skeleton, H(salt, personal part)). Steps of one
-- transaction share a row: `shared` lists those beside `step` as JSON; `audit_steps` has one row a step.
CREATE TABLE audit (
  id            BYTEA PRIMARY KEY,
  time          BIGINT NOT NULL,
  step          TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  actor         TEXT NOT NULL,
  src           BIGINT NOT NULL,
  seq           BIGINT NOT NULL,
  replay_id     TEXT,
  shared        TEXT CHECK (shared IS NULL OR shared::jsonb IS NOT NULL),
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

-- The audit with one row a step, both parts: (time, id, n) is the order that steps of one row are told in. The detail
-- is that of the steps it is about: that of 'persisted' tells what was validated, that of a job both its steps.
CREATE VIEW audit_steps AS
SELECT a.id, coalesce(jsonb_array_length(a.shared::jsonb), 0) AS n, a.time, a.step, a.outcome, a.actor, a.src, a.seq,
       a.replay_id, p.developer, p.batch_id, p.event_id, p.correlation_id,
       CASE WHEN a.step <> 'persisted' THEN p.detail END AS detail
FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
UNION ALL
SELECT a.id, s.n::integer - 1, (s.step ->> 'time')::bigint, s.step ->> 'step', 'ok', s.step ->> 'actor', a.src, a.seq,
       a.replay_id, p.developer, p.batch_id, p.event_id, p.correlation_id,
       CASE WHEN s.step ->> 'step' IN ('validated', 'job_started') THEN p.detail END
FROM audit a CROSS JOIN LATERAL jsonb_array_elements(a.shared::jsonb) WITH ORDINALITY s (step, n)
LEFT JOIN audit_personal p ON p.id = a.id;

-- A job is completed once, however often its message is delivered or published.
CREATE TABLE completed_jobs (
  job_id      TEXT COLLATE "C" PRIMARY KEY,
  kind        TEXT NOT NULL,
  src         BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  replay_id   TEXT,
  finished_at BIGINT NOT NULL
);
CREATE INDEX completed_jobs_by_batch ON completed_jobs (src, seq);

-- One record for each event and normalizer version: what the record says otherwise than the event. Keyed by the event's
-- reference, so that rows append; a swap of the original removes those of the reference that lost.
CREATE TABLE normalized_records (
  src          BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  ordinal      INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  -- Of local time from UTC, in seconds.
  utc_offset   INTEGER NOT NULL,
  -- Whether nothing of the record is read from the event, since readers of JSON may take that otherwise.
  is_whole     INTEGER NOT NULL,
  -- Texts: NULL if the record has what the event's data has, '' if it has none where the data has one.
  language     TEXT,
  project      TEXT,
  -- Compared with the data's project.
  project_name TEXT,
  path         TEXT,
  category     TEXT,
  -- Other members of the data that the record has otherwise, as a JSON object; null if it leaves one out.
  -- Of a whole record all members. Since version 3 also fields that the record has otherwise than the event's data.
  data         TEXT,
  PRIMARY KEY (src, seq, ordinal, version)
);

-- What the records of a batch have of its client: the same for all of them, kept once. No row if it tells nothing.
CREATE TABLE normalized_clients (
  src              BIGINT NOT NULL,
  seq              BIGINT NOT NULL,
  version          INTEGER NOT NULL,
  -- A record that names no editor in its event's data or its own has this one.
  editor           TEXT,
  -- Of that editor only.
  editor_version   TEXT,
  operating_system TEXT,
  machine          TEXT,
  PRIMARY KEY (src, seq, version)
);

-- The records whole, each read beside its event and its batch's client. Fields that came with version 3 are null in
-- records of earlier versions, whose data has those members. OFFSET 0: the event is read once, not for each of its
-- members.
CREATE VIEW normalized AS
SELECT r.developer, r.event_id, r.version, r.src, r.seq, r.ordinal, r.type, r.effective_at, r.local_time, r.local_day,
       r.language, r.project,
       jsonb_build_object('event_id', r.event_id, 'type', r.type, 'at', r.effective_at, 'local_time', r.local_time,
         'offset', r.utc_offset, 'local_day', r.local_day, 'language', r.language, 'project', r.project,
         'project_name', r.project_name, 'path', r.path, 'editor', r.editor,
         'editor_version', CASE WHEN r.editor = to_jsonb(r.client_editor) THEN r.editor_version END,
         'operating_system', r.operating_system, 'machine', r.machine, 'category', r.category,
         'entity_type', r.entity_type, 'tool', r.tool, 'duration_ms', r.duration_ms, 'secrets', r.secrets,
         'data', (
           SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') FROM (
             SELECT s.key, s.value FROM jsonb_each(r.sent) s
             WHERE s.key NOT IN ('language', 'project', 'path') AND NOT coalesce(r.data ? s.key, false)
               AND (r.version < 3
                 OR s.key NOT IN ('category', 'editor', 'entity_type', 'tool', 'duration_ms', 'secrets'))
             UNION ALL
             SELECT c.key, c.value FROM jsonb_each(r.data) c
             WHERE (c.value <> 'null' OR r.is_whole = 1)
               AND (r.version < 3
                 OR c.key NOT IN ('editor', 'entity_type', 'tool', 'duration_ms', 'secrets'))) m))::text AS record
FROM (
  SELECT e.*, n.version, n.utc_offset, n.is_whole, n.data::jsonb AS data, s.sent,
    CASE WHEN n.language IS NULL THEN s.sent ->> 'language' ELSE nullif(n.language, '') END AS language,
    CASE WHEN n.project IS NULL THEN s.sent ->> 'project' ELSE nullif(n.project, '') END AS project,
    CASE WHEN n.project_name IS NULL THEN s.sent ->> 'project' ELSE nullif(n.project_name, '') END AS project_name,
    CASE WHEN n.path IS NULL THEN s.sent ->> 'path' ELSE nullif(n.path, '') END AS path,
    CASE WHEN n.version < 3 THEN NULL WHEN n.category IS NULL THEN s.sent ->> 'category'
      ELSE nullif(n.category, '') END AS category,
    CASE WHEN n.version < 3 THEN NULL WHEN n.data::jsonb ? 'editor' THEN n.data::jsonb -> 'editor'
      ELSE coalesce(nullif(s.sent -> 'editor', 'null'), to_jsonb(c.editor)) END AS editor,
    CASE WHEN n.version < 3 THEN NULL WHEN n.data::jsonb ? 'entity_type' THEN n.data::jsonb -> 'entity_type'
      ELSE s.sent -> 'entity_type' END AS entity_type,
    CASE WHEN n.version < 3 THEN NULL WHEN n.data::jsonb ? 'tool' THEN n.data::jsonb -> 'tool'
      ELSE s.sent -> 'tool' END AS tool,
    CASE WHEN n.version < 3 THEN NULL WHEN n.data::jsonb ? 'duration_ms' THEN n.data::jsonb -> 'duration_ms'
      ELSE s.sent -> 'duration_ms' END AS duration_ms,
    CASE WHEN n.version < 3 THEN NULL WHEN n.data::jsonb ? 'secrets' THEN n.data::jsonb -> 'secrets'
      ELSE coalesce(nullif(s.sent -> 'secrets', 'null'), '0') END AS secrets,
    c.editor AS client_editor, c.editor_version, c.operating_system, c.machine,
    to_char(timestamp 'epoch' + (e.effective_at + n.utc_offset * 1000000::bigint) * interval '1 microsecond',
        'YYYY-MM-DD"T"HH24:MI:SS.US')
      || CASE WHEN n.utc_offset < 0 THEN '-' ELSE '+' END
      || to_char(abs(n.utc_offset) / 3600, 'FM00') || ':' || to_char(abs(n.utc_offset) / 60 % 60, 'FM00') AS local_time
  FROM normalized_records n
  JOIN events e ON e.src = n.src AND e.seq = n.seq AND e.ordinal = n.ordinal
  LEFT JOIN normalized_clients c ON c.src = n.src AND c.seq = n.seq AND c.version = n.version
  CROSS JOIN LATERAL (
    SELECT CASE WHEN n.is_whole = 0 THEN convert_from(e.body, 'UTF8')::jsonb -> 'data' END AS sent OFFSET 0) s) r;

-- What the events of one UTC hour come to for one kind of job: one row an hour, its body folds segments of the
-- hour (docs/decisions/0004-one-partial-row-an-hour.md, 0012-an-hour-knows-what-changed.md). made_with: what else
-- it depends on, such as the rules.
CREATE TABLE partials (
  developer    TEXT COLLATE "C" NOT NULL,
  kind         TEXT COLLATE "C" NOT NULL,
  hour         BIGINT NOT NULL,
  computed_gen BIGINT NOT NULL,
  version      INTEGER NOT NULL,
  made_with    TEXT NOT NULL,
  body         TEXT NOT NULL,
  PRIMARY KEY (developer, kind, hour)
);

-- Folded partials. computed_gen is the sum of the generations of the hours in the look-back.
CREATE TABLE days (
  developer    TEXT COLLATE "C" NOT NULL,
  day          TEXT COLLATE "C" NOT NULL,
  computed_gen BIGINT NOT NULL,
  version      INTEGER NOT NULL,
  -- The developer's timeout that it was computed with.
  idle_ms      BIGINT NOT NULL,
  body         TEXT NOT NULL,
  -- What the metrics in body are made of: for an hour, a project, a week.
  counts       TEXT NOT NULL,
  PRIMARY KEY (developer, day)
);

-- Which rule was evaluated on which window at which generation, whether it found anything or not.
CREATE TABLE rule_windows (
  developer    TEXT COLLATE "C" NOT NULL,
  rule         TEXT COLLATE "C" NOT NULL,
  window_start TEXT COLLATE "C" NOT NULL,
  computed_gen BIGINT NOT NULL,
  version      INTEGER NOT NULL,
  PRIMARY KEY (developer, rule, window_start)
);

-- Alerts, raised or retracted. A row with published < revision is the outbox of the stream ALERTS.
CREATE TABLE alerts (
  alert_id       TEXT COLLATE "C" PRIMARY KEY,
  developer      TEXT COLLATE "C" NOT NULL,
  rule           TEXT COLLATE "C" NOT NULL,
  window_start   TEXT COLLATE "C" NOT NULL,
  severity       TEXT NOT NULL,
  title          TEXT NOT NULL,
  body           TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('raised', 'retracted')),
  revision       BIGINT NOT NULL,
  published      BIGINT NOT NULL,
  push           INTEGER NOT NULL,
  replay_id      TEXT,
  src            BIGINT NOT NULL,
  seq            BIGINT NOT NULL,
  correlation_id TEXT COLLATE "C" NOT NULL
);
CREATE INDEX alerts_by_developer ON alerts (developer, window_start);
CREATE INDEX alerts_unpublished ON alerts (alert_id) WHERE published < revision;

-- Messages that did not succeed at once (docs/protocol.md, Persist). A row goes when
-- its message is done or in DEAD.
CREATE TABLE attempts (
  src      BIGINT NOT NULL,
  consumer TEXT COLLATE "C" NOT NULL,
  seq      BIGINT NOT NULL,
  -- Attempts that failed for an unknown reason.
  used     INTEGER NOT NULL,
  -- Attempt guards that are not cleared: workers that handle it alone, or died while they did.
  guards   INTEGER NOT NULL,
  reason   TEXT,
  first_at BIGINT NOT NULL,
  last_at  BIGINT NOT NULL,
  -- When DEAD had it; until it is terminated in its own stream.
  dead_at  BIGINT,
  PRIMARY KEY (src, consumer, seq)
);
