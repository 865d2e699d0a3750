-- What jobs leave: the ledger of done jobs, normalized records, windows, alerts.

-- A job is done once, however often its message is delivered or published.
CREATE TABLE ledger (
  job_id      TEXT    PRIMARY KEY,
  kind        TEXT    NOT NULL,
  src         INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  replay_id   TEXT,
  finished_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_by_batch ON ledger (src, seq);

-- One record an event and normalizer version, made from the submission (src, seq, ordinal).
CREATE TABLE normalized (
  developer    TEXT    NOT NULL,
  event_id     TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  src          INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  ordinal      INTEGER NOT NULL,
  type         TEXT    NOT NULL,
  effective_at INTEGER NOT NULL,
  local_time   TEXT    NOT NULL,
  local_day    TEXT    NOT NULL,
  language     TEXT,
  project      TEXT,
  record       TEXT    NOT NULL,
  PRIMARY KEY (developer, event_id, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX normalized_by_time ON normalized (developer, effective_at, event_id);

-- What one UTC hour adds to the local days it lies in: one row an hour, its body holds a part for
-- each local day (docs/decisions/0004-one-partial-row-an-hour.md).
CREATE TABLE partials (
  developer    TEXT    NOT NULL,
  hour         INTEGER NOT NULL,
  computed_gen INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  body         TEXT    NOT NULL,
  PRIMARY KEY (developer, hour)
) STRICT, WITHOUT ROWID;

-- Folded partials. computed_gen is the sum of the generations of the hours in the look-back.
CREATE TABLE days (
  developer    TEXT    NOT NULL,
  day          TEXT    NOT NULL,
  computed_gen INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  body         TEXT    NOT NULL,
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

-- Alerts that stand or stood. A row with published < revision is the outbox of the stream ALERTS.
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
