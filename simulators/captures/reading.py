"""Captures: raw bytes of real devices, or of documents, beside the profiles. What they mean is not here."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.endpoints import CannotServe


@dataclass(frozen=True)
class Exchange:
    """What a capture shows: what was asked (None: nothing), and all that came. A `step` has no values."""

    request: bytes | None
    response: bytes
    is_step: bool


def capture_file(profile_file: Path) -> Path:
    """Where the capture of a profile is: `<model>.capture.toml` beside it."""
    return profile_file.with_suffix(".capture.toml")


def captured(capture: Path, *, refused: bool = False) -> list[Exchange]:
    """What a capture shows, `refused`: also what a reader must refuse; raises `CannotServe`."""
    try:
        exchanges: list[dict[str, Any]] = tomllib.loads(capture.read_text(encoding="utf-8")).get("exchange", [])
        return [
            Exchange(
                _bytes(one, "request", "request_text"),
                _bytes(one, "response", "text") or _bytes(one, "stream", "text") or b"",
                bool(one.get("step")),
            )
            for one in exchanges
            if refused or not one.get("error")
        ]
    except (OSError, ValueError, AttributeError, TypeError) as err:
        raise CannotServe(f"cannot read {capture}: {err}") from err


def _bytes(exchange: dict[str, Any], in_hex: str, as_text: str) -> bytes | None:
    if as_text in exchange:
        return str(exchange[as_text]).encode("latin-1")
    return bytes.fromhex(exchange[in_hex]) if in_hex in exchange else None
