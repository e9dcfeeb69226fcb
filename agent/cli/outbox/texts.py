"""Times, sizes and batch numbers as people write and read them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.model import SeqRange
from agent.store.damage.damaged_file import MAX_SEQ

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MS_DIGITS = range(11, 16)
_MOST_RANGES = 8
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def time_ms(option: str, text: str) -> int:
    """Milliseconds since 1970 of what somebody wrote; without a zone it is local time. Raises `Failed`."""
    if text.isdigit() and len(text) in _MS_DIGITS:
        return int(text)
    try:
        return (datetime.fromisoformat(text).astimezone() - _START) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as err:
        raise Failed(
            tr(
                "{option} {text}: write a time like 2026-11-23, 2026-11-23T14:00 or 2026-11-23T14:00+07:00",
                option=option,
                text=text,
            )
        ) from err


def time_text(ms: int, timespec: str = "milliseconds") -> str:
    """Local time in ISO 8601, with its zone; the number itself where it is no time."""
    try:
        return (_START + timedelta(milliseconds=ms)).astimezone().isoformat(timespec=timespec)
    except (OverflowError, ValueError):
        return str(ms)


def seq_ranges(text: str) -> list[SeqRange]:
    """`7` or `7-9`; raises `Failed`."""
    first, dash, last = text.partition("-")
    try:
        found = (int(first), int(last) if dash else int(first))
    except ValueError:
        found = (0, 0)
    if not 0 < found[0] <= found[1] <= MAX_SEQ:
        raise Failed(tr("--seq {text}: write a number like 7, or two like 7-9", text=text))
    return [found]


def ranges_text(ranges: Sequence[SeqRange]) -> str:
    """`1-3, 7`; of many only the first."""
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_MOST_RANGES]]
    if len(ranges) > _MOST_RANGES:
        parts.append("…")
    return ", ".join(parts)


def size_text(size: float) -> str:
    """`1.2 MB`, in powers of 1000 as `outbox.max_bytes` is written."""
    for unit in ("B", "kB", "MB"):
        if size < 1_000:
            return f"{size:.3g} {unit}"
        size /= 1_000
    return f"{size:.3g} GB"


def age_text(seconds: float) -> str:
    """A length of time, to the unit that matters."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return tr("{count} days", count=f"{seconds / _DAY_S:.0f}")
