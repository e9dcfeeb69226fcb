"""What each gateway's messages say, as blocks of values. Pure; a message that says no value gives no block.

Devices are called `d7`, registers `r42`, in every gateway's configuration.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from gateways.serials import Block

_ZLIB = b"\x78"


_Value = int | float | str | bool | None


class _Scan(msgspec.Struct):
    device: str
    values: dict[str, _Value] = {}
    shape: int = 0
    row: list[_Value] = []


class _Batch(msgspec.Struct):
    """The part of an OCG1 batch that the bench reads."""

    shapes: list[list[str]] = []
    scans: list[_Scan] = []


_BATCH = msgspec.json.Decoder(_Batch)


def oc_agent(topic: str, payload: bytes) -> Iterator[Block]:
    """OCG1, docs/contract: `ocg/v1/{gateway}/up/data` or `backfill`, JSON or its zlib stream, with names or in rows."""
    if not topic.endswith(("/up/data", "/up/backfill")):
        return
    text = zlib.decompress(payload) if payload[:1] == _ZLIB else payload
    batch = _BATCH.decode(text)
    for scan in batch.scans:
        if not scan.device.startswith("_"):  # `_gateway` is the gateway's own health
            in_row = zip(batch.shapes[scan.shape], scan.row, strict=True) if scan.row else ()
            yield from _named(scan.device, scan.values or dict(in_row))


def thingsboard(topic: str, payload: bytes) -> Iterator[Block]:
    """`v1/gateway/telemetry`: {"d7": [{"ts": ..., "values": {"r0": 1, ...}}]}; single messages may be without `ts`."""
    if topic != "v1/gateway/telemetry":
        return
    for device, moments in msgspec.json.decode(payload).items():
        for moment in moments:
            yield from _named(device, moment.get("values", moment))


def node_red(topic: str, payload: bytes) -> Iterator[Block]:
    """`bench/d7`: the bare array of the registers."""
    if topic.startswith("bench/d"):
        yield Block(_number(topic.rpartition("/")[2]), 0, _words(msgspec.json.decode(payload)))


def collectd(topic: str, payload: bytes) -> Iterator[Block]:
    """`bench/d7/modbus-d7/gauge-r42`: `time:value`, ended by a zero byte."""
    parts = topic.split("/")
    if len(parts) == 4 and parts[0] == "bench" and parts[2].startswith("modbus"):
        value = payload.rstrip(b"\0").partition(b":")[2].decode()
        yield Block(_number(parts[1]), _number(parts[3].partition("-")[2]), [_word(json.loads(value))])


def _named(device: str, values: Mapping[str, Any]) -> Iterator[Block]:
    """Runs of registers that follow each other, so that nearly always one device is one block."""
    words, at = _words(values.values()), 0
    for first, count in _runs(tuple(values)):
        yield Block(_number(device), first, words[at : at + count])
        at += count


@lru_cache(maxsize=4096)
def _runs(names: tuple[str, ...]) -> Sequence[tuple[int, int]]:
    """(first register, how many follow each other); a gateway says the same names again and again."""
    runs: list[tuple[int, int]] = []
    for number in map(_number, names):
        if runs and number == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs


def _words(values: Iterable[object]) -> list[int | None]:
    return [value if type(value) is int else _word(value) for value in values]


def _number(name: str) -> int:
    return int(name[1:])


def _word(value: object) -> int | None:
    """A whole number as it is, and also where it came as 7.0; anything else is no value of a register."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else -1
