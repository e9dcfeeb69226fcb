"""What becomes of one answer that meets faults: its bytes in parts, each after a wait. Pure.

Promises: an answer without faults goes out as it is; the same draws give the same bytes. `SPOILS` names the faults
after which a reader cannot be asked to have the value.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple, Protocol

from simulators.faults.catalogue import Transport
from simulators.faults.fault import Fault

SPOILS: Final = frozenset(
    (
        "no_reply", "exception", "wrong_crc", "wrong_unit", "wrong_count", "lost", "doubled", "truncated", "echo",
        "noise_before", "noise_after", "late", "torn", "reboot", "unplug", "half_open", "blackhole", "babble",
    )
)  # fmt: skip


class Dialect(Protocol):
    """How a protocol is spoken wrongly: what only somebody can do who knows its frames."""

    transport: Transport

    def wrong_check(self, answer: bytes) -> bytes:
        """The same with a checksum that does not fit."""

    def wrong_unit(self, answer: bytes) -> bytes:
        """The same from another unit, well framed."""

    def wrong_count(self, answer: bytes, random: Random) -> bytes:
        """A well framed answer with another count than was asked for."""

    def exception(self, request: bytes, answer: bytes, code: int) -> bytes:
        """A refusal in its place."""

    def registers(self, request: bytes) -> range:
        """The registers, or bits, that a request asks for or writes; none where it names none."""


class Part(NamedTuple):
    """Wait so long after the part before it, then send `data`, where it is not later than `until_s` (monotonic)."""

    wait_s: float
    data: bytes
    until_s: float = math.inf


class Spoken(NamedTuple):
    """A request (empty: nobody asked), and the answer that belongs to it."""

    request: bytes
    answer: bytes


Change = Callable[[Fault, Spoken, Dialect, Random], bytes]
Deliver = Callable[[Fault, list[Part], Random], list[Part]]


def meet(faults: Sequence[Fault], spoken: Spoken, dialect: Dialect, random: Random) -> tuple[list[Part], list[str]]:
    """What is sent in the place of an answer, and the names of the faults that it has met.

    First those that change what is said, then what stands around it, then when it comes.
    """
    met = [one for one in faults if _applies(one, spoken, dialect) and (one.share >= 1 or random.random() < one.share)]
    names = [one.name for one in met]
    if not spoken.answer or not met or "no_reply" in names:
        return ([Part(0.0, spoken.answer)] if spoken.answer and not met else []), names
    for name, change in _CHANGES.items():
        for one in met:
            if one.name == name:
                spoken = spoken._replace(answer=change(one, spoken, dialect, random))
    parts = [Part(0.0, spoken.answer)]
    for name, deliver in _DELIVERIES.items():
        for one in met:
            if one.name == name:
                parts = deliver(one, parts, random)
    return parts, names


def _applies(fault: Fault, spoken: Spoken, dialect: Dialect) -> bool:
    if fault.kind.only and dialect.transport not in fault.kind.only:
        return False
    register = int(fault["register"]) if "register" in fault.kind.parameters else -1
    return register < 0 or register in dialect.registers(spoken.request)


def _exception(fault: Fault, spoken: Spoken, dialect: Dialect, _random: Random) -> bytes:
    return dialect.exception(spoken.request, spoken.answer, int(fault["code"]))


def _wrong_count(_fault: Fault, spoken: Spoken, dialect: Dialect, random: Random) -> bytes:
    return dialect.wrong_count(spoken.answer, random)


def _wrong_unit(_fault: Fault, spoken: Spoken, dialect: Dialect, _random: Random) -> bytes:
    return dialect.wrong_unit(spoken.answer)


def _wrong_check(_fault: Fault, spoken: Spoken, dialect: Dialect, _random: Random) -> bytes:
    return dialect.wrong_check(spoken.answer)


def _lost(_fault: Fault, spoken: Spoken, _dialect: Dialect, random: Random) -> bytes:
    place = random.randrange(len(spoken.answer))
    return spoken.answer[:place] + spoken.answer[place + 1 :]


def _doubled(_fault: Fault, spoken: Spoken, _dialect: Dialect, random: Random) -> bytes:
    place = random.randrange(len(spoken.answer))
    return spoken.answer[: place + 1] + spoken.answer[place:]


def _truncated(_fault: Fault, spoken: Spoken, _dialect: Dialect, random: Random) -> bytes:
    return spoken.answer[: random.randrange(1, len(spoken.answer))] if len(spoken.answer) > 1 else b""


def _noise_before(fault: Fault, spoken: Spoken, _dialect: Dialect, random: Random) -> bytes:
    return noise(int(fault["bytes"]), random) + spoken.answer


def _noise_after(fault: Fault, spoken: Spoken, _dialect: Dialect, random: Random) -> bytes:
    return spoken.answer + noise(int(fault["bytes"]), random)


def _echo(_fault: Fault, spoken: Spoken, _dialect: Dialect, _random: Random) -> bytes:
    return spoken.request + spoken.answer


def noise(size: int, random: Random) -> bytes:
    """What a line driver leaves on the line when its direction changes."""
    return bytes(random.choice((0x00, 0xFF)) for _ in range(size))


def _late(fault: Fault, parts: list[Part], random: Random) -> list[Part]:
    return [Part(parts[0].wait_s + _delay_s(fault, random), parts[0].data), *parts[1:]]


def _torn(fault: Fault, parts: list[Part], random: Random) -> list[Part]:
    wait_s, data, _ = parts[-1]
    place = random.randrange(1, len(data)) if len(data) > 1 else len(data)
    rest = [Part(_delay_s(fault, random), data[place:])] if data[place:] else []
    return [*parts[:-1], Part(wait_s, data[:place]), *rest]


def _split(fault: Fault, parts: list[Part], _random: Random) -> list[Part]:
    gap_s = fault["gap_s"]
    return [
        Part(wait_s if index == 0 else gap_s, data[index : index + 1])
        for wait_s, data, _ in parts
        for index in range(len(data))
    ]


def _delay_s(fault: Fault, random: Random) -> float:
    return random.uniform(fault["min_s"], max(fault["min_s"], fault["max_s"]))


_CHANGES: Final[Mapping[str, Change]] = {
    "exception": _exception,
    "wrong_count": _wrong_count,
    "wrong_unit": _wrong_unit,
    "wrong_crc": _wrong_check,
    "lost": _lost,
    "doubled": _doubled,
    "truncated": _truncated,
    "noise_before": _noise_before,
    "noise_after": _noise_after,
    "echo": _echo,
}
_DELIVERIES: Final[Mapping[str, Deliver]] = {"late": _late, "torn": _torn, "split": _split}
