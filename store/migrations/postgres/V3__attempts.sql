-- What workers remember of messages that did not succeed at once (docs/protocol.md, Persist). A row goes when
-- its message is done or in DEAD.
CREATE TABLE attempts (
  src      BIGINT NOT NULL,
  consumer TEXT COLLATE "C" NOT NULL,
  seq      BIGINT NOT NULL,
  -- Attempts that failed, nobody knows why.
  used     INTEGER NOT NULL,
  -- Workers that took it in hand alone and have not said how it ended: at work on it, or dead.
  marks    INTEGER NOT NULL,
  reason   TEXT,
  first_at BIGINT NOT NULL,
  last_at  BIGINT NOT NULL,
  -- When DEAD had it; until it is terminated in its own stream.
  dead_at  BIGINT,
  PRIMARY KEY (src, consumer, seq)
);
