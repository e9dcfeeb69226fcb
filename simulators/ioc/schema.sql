CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,         -- order of arrival
    gateway TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    low INTEGER NOT NULL,
    lane TEXT NOT NULL,
    clock TEXT NOT NULL,            -- sync, hold or unsync
    sealed_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    UNIQUE (gateway, epoch, seq)
);
CREATE TABLE IF NOT EXISTS duplicate (
    id INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    low INTEGER NOT NULL,
    lane TEXT NOT NULL,
    received_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS reading (
    gateway TEXT NOT NULL,
    device TEXT NOT NULL,
    point TEXT NOT NULL,
    time_ms INTEGER NOT NULL,       -- made right by corrections
    value TEXT NOT NULL,            -- JSON
    quality TEXT NOT NULL,          -- empty: good
    message INTEGER NOT NULL,       -- that brought it first
    changed INTEGER NOT NULL DEFAULT 0,  -- how often another value came for the same time: never, says the contract
    PRIMARY KEY (gateway, device, point, time_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    gateway TEXT NOT NULL,
    epoch TEXT NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    device TEXT,
    time_ms INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS result (      -- what became of commands and replays
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    gateway TEXT NOT NULL,
    request TEXT NOT NULL,
    ok INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS correction (  -- of a clock that was set late: for the times of these batches, where they are unsync
    id INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    epoch TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    offset_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS retained (
    topic TEXT PRIMARY KEY,
    received_ms INTEGER NOT NULL,
    payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reading_changed ON reading (gateway) WHERE changed > 0;
