"""A device whose memory stands as somebody wrote it: registers and bits by address. Pure.

What clients write is kept, what was not given is exception 02, and any other exception can be had on demand. It can
say of every register where it stands, so that a value at the wrong place is seen; and it can count its answers, so
that a lost or repeated one is.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from simulators.modbus.device import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, READS, WRITES, Memory, Refused, Table, Unheard
from simulators.modbus.identification import Identification

Contents = Mapping[int, int | Sequence[int]]
"""Address -> what stands there, or what stands there and at the addresses behind it."""
Otherwise = Callable[[Table, int], int]
Access = Literal["read", "write"]

KEPT_WRITES = 10_000
_SILENCE = 0
_FUNCTION_OF: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_HIGHEST: dict[Table, int] = {"coil": 1, "discrete": 1, "holding": 0xFFFF, "input": 0xFFFF}


class Written(NamedTuple):
    """What a client wrote in one request."""

    table: Table
    address: int
    values: tuple[int, ...]


class Answered(NamedTuple):
    """A number that a counter gave, and when, in seconds of its clock."""

    number: int
    at_s: float


class Counter:
    """Two registers, high word first, that count the answers they were in: 1, 2, 3, and so on.

    Where it is `mirrored`, two more hold the complement. It is read whole or not at all (exception 02).
    """

    def __init__(self, table: Table, address: int, *, mirrored: bool, clock: Callable[[], float]) -> None:
        self.table = table
        self.addresses = range(address, address + (4 if mirrored else 2))
        self.served: list[Answered] = []
        self._clock = clock

    def next_words(self) -> tuple[int, ...]:
        number = len(self.served) + 1
        self.served.append(Answered(number, self._clock()))
        both = number << 32 | number ^ 0xFFFFFFFF
        return tuple(both >> shift & 0xFFFF for shift in (48, 32, 16, 0))[: len(self.addresses)]


class _Failure(NamedTuple):
    """An exception code, or silence (`code` 0)."""

    code: int
    table: Table | None
    addresses: range | frozenset[int]
    on: Access | None

    def meets(self, table: Table, address: int, count: int, access: Access) -> bool:
        here = self.table in (None, table) and self.on in (None, access)
        return here and any(place in self.addresses for place in range(address, address + count))


class RegisterImage(Memory):
    """A `Memory` of explicit contents, for one unit."""

    def __init__(
        self,
        *,
        holding: Contents | None = None,
        input: Contents | None = None,  # noqa: A002 - the table's name in the specification
        coil: Contents | None = None,
        discrete: Contents | None = None,
        identification: Mapping[int, str | bytes] | Identification | None = None,
        exception_status: int | None = 0,
        server_id: bytes | None = None,
        queues: Mapping[int, Sequence[int]] | None = None,
        otherwise: Otherwise | None = None,
    ) -> None:
        """Functions 7, 17, 24 and 43/14 are there where something is given for them, else they are exception 01.

        `server_id` is the data of function 17, run indicator (0xFF: runs) included. `otherwise` says what stands
        where nothing was given. Raises `ValueError` where a value does not fit its table.
        """
        self._words: dict[Table, dict[int, int]] = {table: {} for table in _FUNCTION_OF}
        self._otherwise = otherwise
        self._failures: list[_Failure] = []
        self._failing: dict[int, int] = {}
        self._counters: list[Counter] = []
        self.status = exception_status
        self.identity = server_id
        self.queues = dict(queues or {})
        self.identification = Identification(identification) if isinstance(identification, Mapping) else identification
        self.writes: deque[Written] = deque(maxlen=KEPT_WRITES)
        given: dict[Table, Contents | None] = {"holding": holding, "input": input, "coil": coil, "discrete": discrete}
        for table, contents in given.items():
            for address, values in (contents or {}).items():
                self.set(table, address, values)

    @classmethod
    def numbered(cls, unit: int = 1, **more: Any) -> Self:
        """Every address of every table is there and says where it stands: see `numbered_word`.

        `more` is what the constructor takes.
        """
        return cls(otherwise=lambda table, address: numbered_word(unit, table, address), **more)

    def set(self, table: Table, address: int, values: int | Sequence[int]) -> None:
        """Put one or more words (0 to 65535) or bits (0 or 1) at `address` and behind; raises `ValueError`."""
        several = (values,) if isinstance(values, int) else tuple(values)
        if address < 0 or address + len(several) > 0x10000:
            raise ValueError(f"{table} {address}: addresses are 0 to 65535")
        for value in several:
            if not 0 <= value <= _HIGHEST[table]:
                raise ValueError(f"{table} {address}: {value} is not 0 to {_HIGHEST[table]}")
        self._words[table].update(zip(range(address, 0x10000), map(int, several), strict=False))

    def get(self, table: Table, address: int, count: int = 1) -> tuple[int, ...]:
        """What stands there, without counting as a read; raises `KeyError` where nothing does."""
        return tuple(self._at(table, place) for place in range(address, address + count))

    def fail(
        self, code: int, table: Table | None = None, addresses: Iterable[int] | None = None, on: Access | None = None
    ) -> None:
        """Answer exception `code` where a request touches one of `addresses` (default: any) of `table` (any).

        `on` "read" or "write" leaves the other alone. It comes where the specification has the address looked at:
        a count that is wrong is still exception 03.
        """
        self._failures.append(_Failure(_exception(code), table, _places(addresses), on))

    def ignore(
        self, table: Table | None = None, addresses: Iterable[int] | None = None, on: Access | None = None
    ) -> None:
        """Say nothing where `fail` would give an exception, as devices do that are silent on a bad address."""
        self._failures.append(_Failure(_SILENCE, table, _places(addresses), on))

    def fail_functions(self, code: int, *functions: int) -> None:
        """Answer exception `code` to these functions, whatever else is in the request."""
        self._failing.update(dict.fromkeys(functions, _exception(code)))

    def heal(self) -> None:
        """Forget what was to fail or to be ignored."""
        self._failures.clear()
        self._failing.clear()

    def count(
        self,
        table: Table = "holding",
        address: int = 0,
        *,
        mirrored: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> Counter:
        """Put a counter there; its `served` is what was answered so far."""
        counter = Counter(table, address, mirrored=mirrored, clock=clock)
        self.set(table, address, [0] * len(counter.addresses))
        self._counters.append(counter)
        return counter

    def admit(self, function: int) -> None:
        if function in self._failing:
            raise Refused(self._failing[function])
        optional = {7: self.status, 17: self.identity, 24: self.queues or None, 43: self.identification}
        if function not in READS | WRITES | {8, 23} and optional.get(function) is None:
            raise Refused(ILLEGAL_FUNCTION)

    def check(self, table: Table, address: int, count: int, *, write: bool = False) -> None:
        access: Access = "write" if write else "read"
        for failure in self._failures:
            if failure.meets(table, address, count, access):
                raise Unheard if failure.code == _SILENCE else Refused(failure.code)
        places = range(address, address + count)
        if self._otherwise is None and not all(place in self._words[table] for place in places):
            raise Refused(ILLEGAL_ADDRESS)
        for counter in self._touched(table, places):
            if write or counter.addresses[0] < address or counter.addresses[-1] >= address + count:
                raise Refused(ILLEGAL_ADDRESS)

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        self.check(table, address, count)
        for counter in self._touched(table, range(address, address + count)):
            self.set(table, counter.addresses[0], counter.next_words())
        return self.get(table, address, count)

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        self.check(table, address, len(values), write=True)
        self.set(table, address, values)
        self.writes.append(Written(table, address, tuple(values)))

    def exception_status(self) -> int:
        return self.status or 0

    def server_id(self) -> bytes:
        return self.identity or b""

    def queue(self, address: int) -> Sequence[int]:
        if address not in self.queues:
            raise Refused(ILLEGAL_ADDRESS)
        return self.queues[address]

    def identify(self, access: int, number: int) -> bytes:
        assert self.identification is not None, "admit() refuses the function"
        return self.identification.answer(access, number)

    def _at(self, table: Table, place: int) -> int:
        words = self._words[table]
        return words[place] if place in words or self._otherwise is None else self._otherwise(table, place)

    def _touched(self, table: Table, places: range) -> list[Counter]:
        return [c for c in self._counters if c.table == table and any(place in places for place in c.addresses)]


def numbered_word(unit: int, table: Table, address: int) -> int:
    """A word, or a bit, that depends on unit, table and address: it is another one a place further on."""
    word = (unit * 7_919 + _FUNCTION_OF[table] * 1_009 + address * 31) & 0xFFFF
    return word & _HIGHEST[table]


def _places(addresses: Iterable[int] | None) -> range | frozenset[int]:
    everywhere = range(0x10000) if addresses is None else addresses
    return everywhere if isinstance(everywhere, range) else frozenset(everywhere)


def _exception(code: int) -> int:
    if not 1 <= code <= 0xFF:
        raise ValueError(f"{code} is no exception code: 1 to 255")
    return code
