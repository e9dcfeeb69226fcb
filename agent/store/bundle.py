"""Bundles: delivered batches that are kept together, because what is alike in one after the other is kept once. Pure.

zlib looks back 32 KiB, and hardly sees the batch before; LZMA finds what a batch has in common with it, in a third of
the bytes and less. A bundle holds the texts of the payloads, and each payload comes out of it with the bytes it had:
one that does not is not put in.
"""

import lzma
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from agent.packing import LONG, SHORT, NotPacked, Packing, packed, plain
from agent.store.checks import row_check
from agent.store.records import SealedHead

SELECT_BUNDLE: Final = (
    "SELECT last, coalesce(CAST(body AS BLOB), X'') FROM bundle WHERE last >= ? ORDER BY last LIMIT 1"
)
"""The bundle that has a batch, if any has."""
MAX_TEXT_BYTES: Final = 512 * 1024
"""So much text goes into one bundle, and has to be unpacked for any batch of it."""
_MAX_UNPACKED: Final = 16 * MAX_TEXT_BYTES
_FILTERS: Final = ({"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 128 * 1024},)
"""The quickest preset; it looks back over some batches, and takes about 2 MB of memory while it packs."""
_PACKINGS: Final = (None, SHORT, LONG)
"""How a payload can have left: as its text, or packed. Their order is part of the format."""
_COUNT: Final = struct.Struct("<I")
_MEMBER: Final = struct.Struct("<QIB")


class NotABundle(ValueError):
    """What should be a bundle is none, or is damaged."""


class Member(NamedTuple):
    """The text of a payload, and how it left."""

    text: bytes
    how: Packing | None

    @property
    def payload(self) -> bytes:
        """The payload as it left."""
        return packed(self.text, self.how) if self.how else self.text


class Bundle(NamedTuple):
    """`rows`: the head of each batch in it, in the order of numbers without a gap, and the checksum of its row."""

    rows: Sequence[tuple[SealedHead, int]]
    body: bytes

    @property
    def first(self) -> int:
        """The lowest number in it."""
        return self.rows[0][0].seq

    @property
    def last(self) -> int:
        """The highest number in it."""
        return self.rows[-1][0].seq


def bundles_of(rows: Iterable[tuple[SealedHead, bytes]]) -> list[Bundle]:
    """Bundles of as many of these sealed batches as can be bundled; none has only one."""
    return [_bundle(group) for group in _groups(rows) if len(group) > 1]


def members_of(body: bytes) -> Mapping[int, Member]:
    """What is in a bundle, by number; raises `NotABundle`."""
    try:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        data = unpacker.decompress(body, _MAX_UNPACKED)
        if not unpacker.eof:
            raise NotABundle("it is cut off, or unpacks to too much")
        return dict(_members(data))
    except (lzma.LZMAError, struct.error) as err:
        raise NotABundle(str(err)) from err


def payload_in(members: Mapping[int, Member], row: Sequence[Any], check: int | None) -> bytes | None:
    """The payload of a row that has an empty one; None where it is not there, or is not what was written.

    `row`: the columns of `batch` but the last, from the number to the payload.
    """
    member = members.get(row[0])
    return member.payload if member is not None and check == row_check(*(*row[:-1], member.text)) else None


def _groups(rows: Iterable[tuple[SealedHead, bytes]]) -> Iterator[list[tuple[SealedHead, Member]]]:
    group: list[tuple[SealedHead, Member]] = []
    size = 0
    for head, payload in sorted(rows, key=lambda row: row[0].seq):
        member = _member(payload)
        if group and (member is None or head.seq != group[-1][0].seq + 1 or size + len(member.text) > MAX_TEXT_BYTES):
            yield group
            group, size = [], 0
        if member is not None:
            group.append((head, member))
            size += len(member.text)
    yield group


def _member(payload: bytes) -> Member | None:
    """None for a payload that would come out with other bytes."""
    try:
        text = plain(payload)
    except NotPacked:
        return None
    ways = (None,) if text is payload else reversed(_PACKINGS[1:])
    members = (Member(text, how) for how in ways) if text else ()
    return next((member for member in members if member.payload == payload), None)


def _bundle(group: Sequence[tuple[SealedHead, Member]]) -> Bundle:
    index = [_MEMBER.pack(head.seq, len(member.text), _PACKINGS.index(member.how)) for head, member in group]
    data = b"".join([_COUNT.pack(len(group)), *index, *(member.text for _, member in group)])
    body = lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_FILTERS)
    return Bundle([(head, _text_check(head, member.text)) for head, member in group], body)


def _members(data: bytes) -> Iterator[tuple[int, Member]]:
    (count,) = _COUNT.unpack_from(data)
    at = _COUNT.size + count * _MEMBER.size
    for number in range(count):
        seq, length, how = _MEMBER.unpack_from(data, _COUNT.size + number * _MEMBER.size)
        if how >= len(_PACKINGS):
            raise NotABundle(f"batch {seq} was packed in a way {how} that is not known here")
        yield seq, Member(data[at : at + length], _PACKINGS[how])
        at += length


def _text_check(head: SealedHead, text: bytes) -> int:
    """Over the text, not over how it was packed: another zlib may pack it otherwise."""
    return row_check(head.seq, head.kind, head.sealed_ms, head.first_ms, head.last_ms, head.readings, text)
