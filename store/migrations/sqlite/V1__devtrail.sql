-- All tables of Devtrail. Times are microseconds since 1970 in
-- UTC; client text that may hold anything (NUL too) is a BLOB.

-- The id of this store: the streams name it as their owner.
CREATE TABLE store_identity (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  store_id TEXT     NOT NULL
) STRICT;

-- One incarnation of one stream. Every (src, seq) in the store is relative to one of these.
CREATE TABLE sources (
  src        INTEGER PRIMARY KEY,
  stream     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (stream, created_at)
) STRICT;

CREATE TABLE developers (
  developer     TEXT PRIMARY KEY,
  epoch         INTEGER NOT NULL DEFAULT 0,
  -- Messages up to here are from before the developer was forgotten: only their skeleton is stored.
  tombstone_src INTEGER,
  tombstone_seq INTEGER
) STRICT, WITHOUT ROWID;

-- need, done, failed: bits 1 aggregate, 2 normalize, 4 alert. A row in state 'persisted' is the outbox.
CREATE TABLE batches (
  src            INTEGER NOT NULL,
  seq            INTEGER NOT NULL,
  developer      TEXT    NOT NULL,
  batch_id       TEXT    NOT NULL,
  message_id     TEXT    NOT NULL,
  correlation_id TEXT    NOT NULL,
  traceparent    TEXT    NOT NULL,
  schema_version TEXT    NOT NULL,
  sent_at        TEXT    NOT NULL,
  skew           INTEGER NOT NULL,
  collector      TEXT    NOT NULL,
  client         BLOB,
  -- The zone that the developer had set when the batch was received; NULL if the client named one.
  zone           TEXT,
  received_at    INTEGER NOT NULL,
  validated_at   INTEGER NOT NULL,
  published_at   INTEGER NOT NULL,
  persisted_at   INTEGER NOT NULL,
  received       INTEGER NOT NULL,
  accepted       INTEGER NOT NULL,
  duplicate      INTEGER NOT NULL,
  rejected       INTEGER NOT NULL,
  quarantined    INTEGER NOT NULL,
  need           INTEGER NOT NULL,
  done           INTEGER NOT NULL DEFAULT 0,
  failed         INTEGER NOT NULL DEFAULT 0,
  state          TEXT    NOT NULL CHECK (state IN ('persisted', 'triggered', 'completed', 'failed')),
  job_body       TEXT    NOT NULL,
  lease_until    INTEGER NOT NULL,
  -- When all its jobs had their PubAcks, by the clock of who published them.
  triggered_at   INTEGER,
  PRIMARY KEY (src, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_by_id ON batches (developer, batch_id);
CREATE INDEX batches_by_correlation ON batches (correlation_id);
CREATE INDEX batches_by_state ON batches (state, src, seq);

-- Each event once. Its reference is that of the first submission, by (src, seq, ordinal).
CREATE TABLE events (
  src            INTEGER NOT NULL,
  seq            INTEGER NOT NULL,
  ordinal        INTEGER NOT NULL,
  developer      TEXT    NOT NULL,
  event_id       TEXT    NOT NULL,
  type           TEXT    NOT NULL,
  schema_version TEXT    NOT NULL,
  effective_at   INTEGER NOT NULL,
  local_day      TEXT    NOT NULL,
  body           BLOB    NOT NULL,
  hash           BLOB    NOT NULL,
  PRIMARY KEY (src, seq, ordinal),
  UNIQUE (developer, event_id)
) STRICT, WITHOUT ROWID;
-- Readers sort by event id as well: the few events of one moment are sorted as they are read.
CREATE INDEX events_by_time ON events (developer, effective_at);

-- Refused events, stored whole. Verdict 'quarantined' may be admitted later, 'rejected' never.
CREATE TABLE refused (
  src       INTEGER NOT NULL,
  seq       INTEGER NOT NULL,
  ordinal   INTEGER NOT NULL,
  developer TEXT    NOT NULL,
  event_id  TEXT,
  verdict   TEXT    NOT NULL CHECK (verdict IN ('quarantined', 'rejected')),
  code      TEXT    NOT NULL,
  pointer   TEXT,
  detail    TEXT,
  body      BLOB    NOT NULL,
  hash      BLOB    NOT NULL,
  PRIMARY KEY (src, seq, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX refused_by_event ON refused (developer, event_id);
-- For exports, which page through a developer's in the order they were received.
CREATE INDEX refused_by_developer ON refused (developer, src, seq, ordinal);

-- Dropped duplicates. The original is the row of `events` with the same key; the bytes are stored
-- only where they are not the original's.
CREATE TABLE duplicates (
  src       INTEGER NOT NULL,
  seq       INTEGER NOT NULL,
  ordinal   INTEGER NOT NULL,
  developer TEXT    NOT NULL,
  event_id  TEXT    NOT NULL,
  hash      BLOB    NOT NULL,
  body      BLOB,
  PRIMARY KEY (src, seq, ordinal)
) STRICT, WITHOUT ROWID;
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
  developer TEXT    NOT NULL,
  hour      INTEGER NOT NULL,
  gen       INTEGER NOT NULL,
  PRIMARY KEY (developer, hour)
) STRICT, WITHOUT ROWID;

-- Where in its hour a generation changed events: all that came, moved or left lie from first_at to last_at.
CREATE TABLE hour_changes (
  developer TEXT    NOT NULL,
  hour      INTEGER NOT NULL,
  gen       INTEGER NOT NULL,
  first_at  INTEGER NOT NULL,
  last_at   INTEGER NOT NULL,
  PRIMARY KEY (developer, hour, gen)
) STRICT, WITHOUT ROWID;

-- Append only. The skeleton names no person; hash = H(skeleton, H(salt, personal part)). Steps of one
-- transaction share a row: `shared` lists those beside `step` as JSON; `audit_steps` has one row a step.
CREATE TABLE audit (
  id            BLOB    PRIMARY KEY,
  time          INTEGER NOT NULL,
  step          TEXT    NOT NULL,
  outcome       TEXT    NOT NULL,
  actor         TEXT    NOT NULL,
  src           INTEGER NOT NULL,
  seq           INTEGER NOT NULL,
  replay_id     TEXT,
  shared        TEXT CHECK (json_valid(shared)),
  personal_hash BLOB    NOT NULL,
  hash          BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_by_batch ON audit (src, seq);

-- Only `forget` deletes from here.
CREATE TABLE audit_personal (
  id             BLOB PRIMARY KEY,
  salt           BLOB NOT NULL,
  developer      TEXT NOT NULL,
  batch_id       TEXT NOT NULL,
  event_id       TEXT,
  correlation_id TEXT NOT NULL,
  detail         TEXT
) STRICT, WITHOUT ROWID;

-- The audit with one row a step, both parts: (time, id, n) is the order that steps of one row are told in. The detail
-- is that of the steps it is about: that of 'persisted' tells what was validated, that of a job both its steps.
CREATE VIEW audit_steps AS
SELECT a.id, coalesce(json_array_length(a.shared), 0) AS n, a.time, a.step, a.outcome, a.actor, a.src, a.seq,
       a.replay_id, p.developer, p.batch_id, p.event_id, p.correlation_id,
       CASE WHEN a.step <> 'persisted' THEN p.detail END AS detail
FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
UNION ALL
SELECT a.id, s.key, json_extract(s.value, '$.time'), json_extract(s.value, '$.step'), 'ok',
       json_extract(s.value, '$.actor'), a.src, a.seq, a.replay_id, p.developer, p.batch_id, p.event_id,
       p.correlation_id, CASE WHEN json_extract(s.value, '$.step') IN ('validated', 'job_started') THEN p.detail END
FROM audit a JOIN json_each(a.shared) s LEFT JOIN audit_personal p ON p.id = a.id;

-- A job is completed once, however often its message is delivered or published.
CREATE TABLE completed_jobs (
  job_id      TEXT    PRIMARY KEY,
  kind        TEXT    NOT NULL,
  src         INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  replay_id   TEXT,
  finished_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX completed_jobs_by_batch ON completed_jobs (src, seq);

-- One record for each event and normalizer version: what the record says otherwise than the event. Keyed by the event's
-- reference, so that rows append; a swap of the original removes those of the reference that lost.
CREATE TABLE normalized_records (
  src          INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
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
) STRICT, WITHOUT ROWID;

-- What the records of a batch have of its client: the same for all of them, kept once. No row if it tells nothing.
CREATE TABLE normalized_clients (
  src              INTEGER NOT NULL,
  seq              INTEGER NOT NULL,
  version          INTEGER NOT NULL,
  -- A record that names no editor in its event's data or its own has this one.
  editor           TEXT,
  -- Of that editor only.
  editor_version   TEXT,
  operating_system TEXT,
  machine          TEXT,
  PRIMARY KEY (src, seq, version)
) STRICT, WITHOUT ROWID;

-- The records whole, each read beside its event and its batch's client. Fields that came with version 3 are null in
-- records of earlier versions, whose data has those members.
CREATE VIEW normalized AS
SELECT r.developer, r.event_id, r.version, r.src, r.seq, r.ordinal, r.type, r.effective_at, r.local_time, r.local_day,
       r.language, r.project,
       json_object('event_id', r.event_id, 'type', r.type, 'at', r.effective_at, 'local_time', r.local_time,
         'offset', r.utc_offset, 'local_day', r.local_day, 'language', r.language, 'project', r.project,
         'project_name', r.project_name, 'path', r.path, 'editor', r.editor,
         'editor_version', CASE WHEN r.editor = r.client_editor THEN r.editor_version END,
         'operating_system', r.operating_system, 'machine', r.machine, 'category', r.category,
         'entity_type', r.entity_type, 'tool', r.tool, 'duration_ms', r.duration_ms, 'secrets', r.secrets,
         'data', json((
           SELECT json_group_object(m.key, json(m.value)) FROM (
             SELECT s.key, CASE WHEN s.type IN ('true', 'false', 'null') THEN s.type
                 WHEN s.type IN ('object', 'array') THEN s.value ELSE json_quote(s.value) END AS value
             FROM json_each(r.sent) s
             WHERE s.key NOT IN ('language', 'project', 'path')
               AND (r.version < 3
                 OR s.key NOT IN ('category', 'editor', 'entity_type', 'tool', 'duration_ms', 'secrets'))
               AND s.key NOT IN (SELECT c.key FROM json_each(r.data) c)
             UNION ALL
             SELECT c.key, CASE WHEN c.type IN ('true', 'false', 'null') THEN c.type
                 WHEN c.type IN ('object', 'array') THEN c.value ELSE json_quote(c.value) END
             FROM json_each(r.data) c
             WHERE (c.type <> 'null' OR r.is_whole = 1)
               AND (r.version < 3
                 OR c.key NOT IN ('editor', 'entity_type', 'tool', 'duration_ms', 'secrets'))) m))) AS record
FROM (
  SELECT e.*, json_extract(e.readable, '$.data') AS sent,
    CASE WHEN e.own_language IS NULL THEN json_extract(e.readable, '$.data.language')
      ELSE nullif(e.own_language, '') END AS language,
    CASE WHEN e.own_project IS NULL THEN json_extract(e.readable, '$.data.project')
      ELSE nullif(e.own_project, '') END AS project,
    CASE WHEN e.own_project_name IS NULL THEN json_extract(e.readable, '$.data.project')
      ELSE nullif(e.own_project_name, '') END AS project_name,
    CASE WHEN e.own_path IS NULL THEN json_extract(e.readable, '$.data.path')
      ELSE nullif(e.own_path, '') END AS path,
    CASE WHEN e.version < 3 THEN NULL WHEN e.own_category IS NULL THEN json_extract(e.readable, '$.data.category')
      ELSE nullif(e.own_category, '') END AS category,
    CASE WHEN e.version < 3 THEN NULL
      WHEN json_type(e.data, '$.editor') IS NOT NULL THEN json_extract(e.data, '$.editor')
      ELSE coalesce(json_extract(e.readable, '$.data.editor'), e.client_editor) END AS editor,
    CASE WHEN e.version < 3 THEN NULL
      WHEN json_type(e.data, '$.entity_type') IS NOT NULL THEN json_extract(e.data, '$.entity_type')
      ELSE json_extract(e.readable, '$.data.entity_type') END AS entity_type,
    CASE WHEN e.version < 3 THEN NULL
      WHEN json_type(e.data, '$.tool') IS NOT NULL THEN json_extract(e.data, '$.tool')
      ELSE json_extract(e.readable, '$.data.tool') END AS tool,
    CASE WHEN e.version < 3 THEN NULL
      WHEN json_type(e.data, '$.duration_ms') IS NOT NULL THEN json_extract(e.data, '$.duration_ms')
      ELSE json_extract(e.readable, '$.data.duration_ms') END AS duration_ms,
    CASE WHEN e.version < 3 THEN NULL
      WHEN json_type(e.data, '$.secrets') IS NOT NULL THEN json_extract(e.data, '$.secrets')
      ELSE coalesce(json_extract(e.readable, '$.data.secrets'), 0) END AS secrets,
    strftime('%Y-%m-%dT%H:%M:%S', e.effective_at / 1000000 + e.utc_offset, 'unixepoch')
      || printf('.%06d%s%02d:%02d', e.effective_at % 1000000, CASE WHEN e.utc_offset < 0 THEN '-' ELSE '+' END,
        abs(e.utc_offset) / 3600, abs(e.utc_offset) / 60 % 60) AS local_time
  FROM (
    SELECT e.*, n.version, n.utc_offset, n.is_whole, n.data, n.language AS own_language, n.project AS own_project,
      n.project_name AS own_project_name, n.path AS own_path, n.category AS own_category, c.editor AS client_editor,
      c.editor_version, c.operating_system, c.machine,
      CASE WHEN n.is_whole = 0 THEN CAST(e.body AS TEXT) END AS readable
    FROM normalized_records n
    JOIN events e ON e.src = n.src AND e.seq = n.seq AND e.ordinal = n.ordinal
    LEFT JOIN normalized_clients c ON c.src = n.src AND c.seq = n.seq AND c.version = n.version) e) r;

-- What the events of one UTC hour come to for one kind of job: one row an hour, its body folds segments of the
-- hour (docs/decisions/0004-one-partial-row-an-hour.md, 0012-an-hour-knows-what-changed.md). made_with: what else
-- it depends on, such as the rules.
CREATE TABLE partials (
  developer    TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  hour         INTEGER NOT NULL,
  computed_gen INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  made_with    TEXT    NOT NULL,
  body         TEXT    NOT NULL,
  PRIMARY KEY (developer, kind, hour)
) STRICT, WITHOUT ROWID;

-- Folded partials. computed_gen is the sum of the generations of the hours in the look-back.
CREATE TABLE days (
  developer    TEXT    NOT NULL,
  day          TEXT    NOT NULL,
  computed_gen INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  -- The developer's timeout that it was computed with.
  idle_ms      INTEGER NOT NULL,
  body         TEXT    NOT NULL,
  -- What the metrics in body are made of: for an hour, a project, a week.
  counts       TEXT    NOT NULL,
  PRIMARY KEY (developer, day)
) STRICT, WITHOUT ROWID;

-- Which rule was evaluated on which window at which generation, whether it found anything or not.
CREATE TABLE rule_windows (
  developer    TEXT    NOT NULL,
  rule         TEXT    NOT NULL,
  window_start TEXT    NOT NULL,
  computed_gen INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  PRIMARY KEY (developer, rule, window_start)
) STRICT, WITHOUT ROWID;

-- Alerts, raised or retracted. A row with published < revision is the outbox of the stream ALERTS.
CREATE TABLE alerts (
  alert_id       TEXT    PRIMARY KEY,
  developer      TEXT    NOT NULL,
  rule           TEXT    NOT NULL,
  window_start   TEXT    NOT NULL,
  severity       TEXT    NOT NULL,
  title          TEXT    NOT NULL,
  body           TEXT    NOT NULL,
  state          TEXT    NOT NULL CHECK (state IN ('raised', 'retracted')),
  revision       INTEGER NOT NULL,
  published      INTEGER NOT NULL,
  push           INTEGER NOT NULL,
  replay_id      TEXT,
  src            INTEGER NOT NULL,
  seq            INTEGER NOT NULL,
  correlation_id TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_by_developer ON alerts (developer, window_start);
CREATE INDEX alerts_unpublished ON alerts (alert_id) WHERE published < revision;

-- Messages that did not succeed at once (docs/protocol.md, Persist). A row goes when
-- its message is done or in DEAD.
CREATE TABLE attempts (
  src      INTEGER NOT NULL,
  consumer TEXT    NOT NULL,
  seq      INTEGER NOT NULL,
  -- Attempts that failed for an unknown reason.
  used     INTEGER NOT NULL,
  -- Attempt guards that are not cleared: workers that handle it alone, or died while they did.
  guards   INTEGER NOT NULL,
  reason   TEXT,
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL,
  -- When DEAD had it; until it is terminated in its own stream.
  dead_at  INTEGER,
  PRIMARY KEY (src, consumer, seq)
) STRICT, WITHOUT ROWID;
