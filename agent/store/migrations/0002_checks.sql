-- CRC-32 over the other columns, so that a changed byte is seen before it is sent; NULL in rows of version 1.
-- In Python: zlib.crc32(payload, zlib.crc32(f"{seq}|{kind}|{sealed_ms}|{first_ms}|{last_ms}|{readings}|".encode()))
ALTER TABLE batch ADD COLUMN crc INTEGER;

-- Batches by time. None spans more than an hour, so those of a window are one range of it.
CREATE INDEX batch_last_ms ON batch (last_ms);
