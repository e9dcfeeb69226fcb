"""How JSON travels: as it is, or as its zlib stream where that is smaller (contract, payloads). Pure.

The receiver tells by the first byte: `{` is JSON, `0x78` is a zlib stream (RFC 1950).
"""

import zlib
from typing import Final, NamedTuple

PACK_ABOVE_BYTES: Final = 512
MAX_PLAIN_BYTES: Final = 8 * 1024 * 1024
_ZLIB: Final = b"\x78"


class Packing(NamedTuple):
    """What zlib is told, which decides what bytes come out: level and strategy."""

    level: int
    strategy: int


SHORT: Final = Packing(4, zlib.Z_DEFAULT_STRATEGY)
LONG: Final = Packing(4, zlib.Z_FILTERED)
"""For batches of more than 4 KiB. Matches of five bytes and less, of which numbers are full, cost more there than they
save: without them (`Z_FILTERED`) digits get shorter codes. Bytes a reading of level 4 without and with it, and of level
6 without:

                                                with names            in rows (contract, payloads)
    16-bit counters, 2 s of 20 devices x 100     4.20  4.05  3.84      1.10  1.05  1.08
    16-bit noise, the same                       4.97  4.88  4.69      3.10  2.80  3.05
    sensors, 1 s of 20 devices x 10, decimals    6.70  6.15  6.49      5.33  5.08  5.28 (2.8 KB: not used)
    sensors, 5 s of 20 devices                   4.60  4.45  4.29      3.68  3.62  3.62
    32-bit floats, 2 s of 20 devices x 15        7.50  6.97  6.92      5.60  5.09  5.52
    meters, sensors, states, status words, 5 s   5.90  5.61  5.58      4.64  4.50  4.52
    one level of each of 10 devices, 10 minutes  7.62  7.04  6.94      7.61  7.04  6.94
    number plates, lanes, speeds                 4.82  4.53   -        4.61  4.30   -
    sentences                                   11.27 11.58 10.43     10.98 11.24 10.41

So only texts of many words lose, 3 %. It takes 0.05 ms more for 1,000 readings, level 6 0.3 ms more. Where there is
little text, names are most of it, and short matches are worth having: one scan of 100 points is 3 to 9 % longer without
them. The two meet at 2.5 to 4 KB.
"""
LONG_BYTES: Final = 4 * 1024
FOR_TEXTS: Final = Packing(6, zlib.Z_DEFAULT_STRATEGY)
"""For what is said seldom, and is mostly names."""


class NotPacked(ValueError):
    """What looks like a zlib stream is none, is cut off, or unpacks to too much."""


def packed(json: bytes, how: Packing | None = None) -> bytes:
    """What leaves: the zlib stream where the text is over 512 bytes and the stream is smaller.

    `how` is by length where it is not said.
    """
    if len(json) <= PACK_ABOVE_BYTES:
        return json
    how = how or (LONG if len(json) > LONG_BYTES else SHORT)
    packer = zlib.compressobj(how.level, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, how.strategy)
    squeezed = packer.compress(json) + packer.flush()
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
