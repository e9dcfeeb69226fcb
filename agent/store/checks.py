"""Checksums of what is in the outbox file: SQLite itself does not see a byte that has changed in a row. Pure."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Final

from agent.model import SeqRange

CHECK_KEY: Final = "check"
"""The row of `meta` that holds the checksum of all others and of `undelivered`."""
BATCH_COLUMNS: Final = "seq, kind, sealed_ms, first_ms, last_ms, readings, coalesce(CAST(payload AS BLOB), X''), crc"
"""A batch as `row_check` wants it: a changed byte can make anything of a column, but the payload is bytes again."""


def row_check(seq: int, kind: str, sealed_ms: int, first_ms: int, last_ms: int, readings: int, payload: bytes) -> int:
    """CRC-32 of a batch as it stands in the file."""
    head = f"{seq}|{kind}|{sealed_ms}|{first_ms}|{last_ms}|{readings}|"
    return zlib.crc32(payload, zlib.crc32(head.encode()))


def picture_check(meta: Mapping[str, object], undelivered: Iterable[SeqRange]) -> int:
    """CRC-32 of what the file says of itself: `meta` without its check, and the undelivered numbers."""
    lines = [f"{key}={value}\n" for key, value in sorted(meta.items()) if key != CHECK_KEY]
    lines += [f"{first}-{last}\n" for first, last in sorted(undelivered)]
    return zlib.crc32("".join(lines).encode())


def readable_text(data: bytes) -> str:
    """A text of the file, also where its bytes have changed: SQLite's module refuses those that are no UTF-8."""
    return data.decode("utf-8", "replace")
