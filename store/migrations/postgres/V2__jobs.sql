-- What jobs leave: the ledger of done jobs, normalized records, windows, alerts.

-- A job is done once, however often its message is delivered or published.
CREATE TABLE ledger (
  job_id      TEXT COLLATE "C" PRIMARY KEY,
  kind        TEXT NOT NULL,
  src         BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  replay_id   TEXT,
  finished_at BIGINT NOT NULL
);
CREATE INDEX ledger_by_batch ON ledger (src, seq);

-- One record an event and normalizer version, made from the submission (src, seq, ordinal).
CREATE TABLE normalized (
  developer    TEXT COLLATE "C" NOT NULL,
  event_id     TEXT COLLATE "C" NOT NULL,
  version      INTEGER NOT NULL,
  src          BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  ordinal      INTEGER NOT NULL,
  type         TEXT NOT NULL,
  effective_at BIGINT NOT NULL,
  local_time   TEXT NOT NULL,
  local_day    TEXT COLLATE "C" NOT NULL,
  language     TEXT,
  project      TEXT,
  record       TEXT NOT NULL,
  PRIMARY KEY (developer, event_id, version)
);
CREATE INDEX normalized_by_time ON normalized (developer, effective_at, event_id);

-- What one UTC hour adds to the local days it lies in: one row an hour, its body holds a part for
-- each local day (docs/decisions/0004-one-partial-row-an-hour.md).
CREATE TABLE partials (
  developer    TEXT COLLATE "C" NOT NULL,
  hour         BIGINT NOT NULL,
  computed_gen BIGINT NOT NULL,
  version      INTEGER NOT NULL,
  body         TEXT NOT NULL,
  PRIMARY KEY (developer, hour)
);

-- Folded partials. computed_gen is the sum of the generations of the hours in the look-back.
CREATE TABLE days (
  developer    TEXT COLLATE "C" NOT NULL,
  day          TEXT COLLATE "C" NOT NULL,
  computed_gen BIGINT NOT NULL,
  version      INTEGER NOT NULL,
  body         TEXT NOT NULL,
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

-- Alerts that stand or stood. A row with published < revision is the outbox of the stream ALERTS.
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
