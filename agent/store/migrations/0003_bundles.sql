-- Payloads of delivered data batches, many in one xz stream (agent/store/bundle.py, docs/outbox.md). A row of `batch` whose
-- payload is here has an empty one, and its `crc` is over the text of the payload.
CREATE TABLE bundle (
    last  INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    body  BLOB    NOT NULL
);
