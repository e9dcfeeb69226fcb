"""How JSON travels: as it is, or as its zlib stream where that is smaller (contract, payloads). Pure.

The receiver tells by the first byte: `{` is JSON, `0x78` is a zlib stream (RFC 1950).
"""

import zlib
from typing import Final

PACK_ABOVE_BYTES: Final = 512
LEVEL: Final = 4
"""Of batches of 2,000 readings 9 % fewer bytes than level 1 for 0.07 ms; level 6 saves 5 % more in 0.3 ms more."""
MAX_PLAIN_BYTES: Final = 8 * 1024 * 1024
_ZLIB: Final = b"\x78"


class NotPacked(ValueError):
    """What looks like a zlib stream is none, is cut off, or unpacks to too much."""


def packed(json: bytes, level: int = LEVEL) -> bytes:
    """What leaves: the zlib stream where the text is over 512 bytes and the stream is smaller."""
    if len(json) <= PACK_ABOVE_BYTES:
        return json
    squeezed = zlib.compress(json, level)
    return squeezed if len(squeezed) < len(json) else json


def plain(payload: bytes, max_bytes: int = MAX_PLAIN_BYTES) -> bytes:
    """The JSON text; raises `NotPacked`, also where there is more than `max_bytes` of it."""
    if payload[:1] != _ZLIB:
        return payload
    unpacker = zlib.decompressobj()
    try:
        json = unpacker.decompress(payload, max_bytes)
    except zlib.error as err:
        raise NotPacked(str(err)) from err
    if not unpacker.eof:
        raise NotPacked("the zlib stream is cut off, or unpacks to too much")
    return json


def head_of(payload: bytes, max_bytes: int) -> bytes:
    """The first bytes of the JSON text, without unpacking the rest; raises `NotPacked`."""
    if payload[:1] != _ZLIB:
        return payload[:max_bytes]
    try:
        return zlib.decompressobj().decompress(payload, max_bytes)
    except zlib.error as err:
        raise NotPacked(str(err)) from err
