"""What an outbox file says of itself: the rows of its table `meta`, and the card that they are. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from agent.model import SeqRange
from agent.store.checks import CHECK_KEY, picture_check
from agent.store.ledger import Card


class Damaged(Exception):
    """What the file holds is not what was written into it."""


class Picture(NamedTuple):
    """What a file says of itself, None in a new one, and what is undelivered. `checked`: under a checksum."""

    card: Card | None
    undelivered: list[SeqRange]
    checked: bool


def picture_of(meta_rows: Iterable[Sequence[Any]], ranges: Sequence[Sequence[Any]]) -> Picture:
    """What rows of `meta` and `undelivered` say; raises `Damaged` where they are not what was written."""
    meta = {str(key): value for key, value in meta_rows}
    check = meta.pop(CHECK_KEY, None)
    if any(type(number) is not int for part in ranges for number in part):
        raise Damaged("its table of undelivered batches holds what is no number")
    undelivered = [(first, last) for first, last in ranges]
    if check is not None and check != picture_check(meta, undelivered):
        raise Damaged("its account of itself does not fit its checksum")
    try:
        card = _card(meta) if meta else None
    except (TypeError, msgspec.MsgspecError) as err:
        raise Damaged(f"its account of itself cannot be read: {err}") from err
    return Picture(card, undelivered, checked=check is not None)


def rows_of_card(card: Card) -> Iterator[tuple[str, Any]]:
    """The rows of `meta`, without the checksum."""
    for key, value in msgspec.structs.asdict(card).items():
        yield key, value if isinstance(value, int | float | str) else msgspec.json.encode(value).decode()


def _card(meta: dict[str, Any]) -> Card:
    complex_keys = {field.name for field in msgspec.structs.fields(Card) if field.type not in (int, float, str)}
    decoded = {key: msgspec.json.decode(value) if key in complex_keys else value for key, value in meta.items()}
    return msgspec.convert(decoded, Card)
