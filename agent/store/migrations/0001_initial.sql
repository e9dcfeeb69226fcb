-- One row a fact about the file as a whole: epoch, counters, what is reserved, where in the journal it was written.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

-- Sealed batches, delivered or not. A row is written once and never changed; `payload` is what goes to the broker.
CREATE TABLE batch (
    seq       INTEGER PRIMARY KEY,
    kind      TEXT    NOT NULL,
    sealed_ms INTEGER NOT NULL,
    first_ms  INTEGER NOT NULL,
    last_ms   INTEGER NOT NULL,
    readings  INTEGER NOT NULL,
    payload   BLOB    NOT NULL
);

-- Which batches have not arrived yet, as ranges: delivery rewrites this small table and no batch.
CREATE TABLE undelivered (
    uplink TEXT    NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    PRIMARY KEY (uplink, first)
) WITHOUT ROWID;

-- Pieces of the journal with readings that wait longer for sealing than a power cut may cost.
CREATE TABLE unsealed (
    position INTEGER PRIMARY KEY,
    boot_id  TEXT NOT NULL,
    records  BLOB NOT NULL
);
