"""Rows: scans whose names of points are said once for a batch, and not in each scan (contract, payloads). Pure.

Promise: every scan says what it said. The text of each value is carried over and never becomes a number on the way; a
scan whose names no other scan of the batch has is left as it was.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

ROOM_BYTES: Final = 12
"""By so much a scan can be longer in rows: short names are saved, and the number of its shape is long."""
_NOT_SAID: Final = msgspec.Raw()
_encode = msgspec.json.Encoder().encode


class _Scan(msgspec.Struct):
    device: msgspec.Raw
    time_ms: msgspec.Raw
    values: dict[str, msgspec.Raw]
    quality: msgspec.Raw = _NOT_SAID
    status: msgspec.Raw = _NOT_SAID


_decode = msgspec.json.Decoder(_Scan).decode


def with_names(scans: Iterable[bytes]) -> bytes:
    """The content of a data batch, open at its end, in the form that every IOC reads."""
    return b'"scans":[' + b",".join(scans) + b"]"


def in_rows(scans: Iterable[bytes]) -> bytes:
    """The same content in rows; without any where no two scans have the same names in the same order."""
    parsed = [(text, _decode(text)) for text in scans]
    shapes = [tuple(scan.values) for _, scan in parsed]
    shared = [shape for shape, scans_of_it in Counter(shapes).items() if scans_of_it > 1]
    numbers = {shape: number for number, shape in enumerate(shared)}
    content = with_names(
        text if (number := numbers.get(shape)) is None else _row(scan, number)
        for shape, (text, scan) in zip(shapes, parsed, strict=True)
    )
    return b'"shapes":%b,%b' % (_encode(shared), content) if shared else content


def _row(scan: _Scan, shape: int) -> bytes:
    quality = b',"quality":%b' % bytes(scan.quality) if scan.quality else b""
    status = b',"status":%b' % bytes(scan.status) if scan.status else b""
    head = b'{"device":%b,"time_ms":%b' % (bytes(scan.device), bytes(scan.time_ms))
    return b'%b,"shape":%d,"row":[%b]%b%b}' % (head, shape, b",".join(scan.values.values()), quality, status)
