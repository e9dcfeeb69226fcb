"""Rates by name on a command line, like `lost=0.02,late=0.01`. Pure."""

import re
from collections.abc import Sequence


def parse_rates(text: str, names: Sequence[str], example: str) -> dict[str, float]:
    """The number that stands with each name; raises `ValueError` with what to write."""
    rates: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"\s*([a-z_]+)\s*=\s*([0-9.]+)\s*", part)
        if not found or found[1] not in names:
            raise ValueError(f'"{part}" is no fault: write {", ".join(names)} with a number, like {example}')
        rates[found[1]] = float(found[2])
    return rates
