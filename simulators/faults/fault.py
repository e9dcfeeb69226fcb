"""One fault as a tester writes it: what, on what, from when, for how long, how often. Pure.

Promises: a fault that exists is possible where it stands; what is not is refused with what to write.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulators.faults.catalogue import FAULTS, FOREVER, FaultKind, Place
from simulators.likeness import like

EVERYTHING: Final = "*"
_TIMES: Final = ("from_s", "for_s", "every_s", "share")
_MOMENT_S: Final = 0.05
"""A moment is there for so long, in seconds, that nobody overlooks it."""
_FOR_S: Final[Mapping[str, float]] = {"unplug": 1.5, "reboot": 3.0, "refuse": 1.0}
"""How long those last that come again and again and say nothing else, in seconds; and every reboot."""


class BadFault(ValueError):
    """This fault cannot be; the message says what to write. `key` is where it stands."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`name` happens to `on` (a device, a link, `*`) from `from_s` on, for `for_s` seconds.

    `share` of the answers meet it, drawn from the seed. With `every_s` it begins again and again, so many seconds
    apart on average, and each time lasts for `for_s`. Times are seconds since the start of the run.
    """

    name: str
    on: str = EVERYTHING
    from_s: float = 0.0
    for_s: float = FOREVER
    every_s: float = 0.0
    share: float = 1.0
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def kind(self) -> FaultKind:
        return FAULTS[self.name]

    @property
    def until_s(self) -> float:
        return self.from_s + self.for_s

    def __getitem__(self, parameter: str) -> float:
        """What it was told, or the default."""
        return self.parameters.get(parameter, self.kind.parameters[parameter].default)

    def __str__(self) -> str:
        return f"{self.name} on {self.on}"


def make_fault(keys: Mapping[str, Any]) -> Fault:
    """A fault from `name`, `on`, `from_s`, `for_s`, `every_s`, `share` and its parameters; raises `BadFault`."""
    name = keys.get("name")
    if not isinstance(name, str) or name not in FAULTS:
        raise BadFault("name", f'there is no fault "{name}": {like(str(name), FAULTS)}')
    kind = FAULTS[name]
    own = {key: value for key, value in keys.items() if key not in ("name", "on", *_TIMES)}
    for key in own.keys() - kind.parameters.keys():
        raise BadFault(key, f'{name} knows no "{key}": {like(key, (*_TIMES, "on", *kind.parameters))}')
    parameters = {
        key: _number(key, value, kind.parameters[key].low, kind.parameters[key].high) for key, value in own.items()
    }
    on = keys.get("on", EVERYTHING)
    if not isinstance(on, str) or not on:
        raise BadFault("on", 'write the name of a device or of a link, or "*"')
    times = {key: _number(key, keys[key], 0.0, 1.0 if key == "share" else FOREVER) for key in _TIMES if key in keys}
    if "share" in times and not kind.shared:
        raise BadFault("share", f"{name} happens to no messages, so there is no share of them: write every_s")
    if name == "reboot" or times.get("every_s"):
        times.setdefault("for_s", _FOR_S.get(name, 1.0))
    if kind.moment:
        times["for_s"] = _MOMENT_S
    return Fault(name=name, on=on, parameters=parameters, **times)


def parse_fault(text: str) -> Fault:
    """From `no_reply on=meter-1 from=10 for=5 share=0.5`; raises `BadFault`.

    A bare `lost=0.02` is a share, a bare `unplug=60` the seconds between two on average.
    """
    name, *pairs = text.split() or [""]
    name, is_short, number = name.partition("=")
    keys: dict[str, Any] = {"name": name}
    if is_short and name in FAULTS:
        keys["share" if FAULTS[name].shared else "every_s"] = _said(name, number)
    for pair in pairs:
        key, given, value = pair.partition("=")
        if not given:
            raise BadFault(key, f'"{pair}" is not understood: write key=value, like for=5')
        key = f"{key}_s" if key in ("from", "for", "every") else key
        keys[key] = value if key == "on" else _said(key, value)
    return make_fault(keys)


def parse_faults(text: str) -> list[Fault]:
    """Several, with commas or semicolons between them; raises `BadFault`."""
    return [parse_fault(part) for part in text.replace(";", ",").split(",") if part.strip()]


def check_place(fault: Fault, *places: Place) -> None:
    """Raises `BadFault` where it cannot happen in any of these places."""
    if not fault.kind.places & set(places):
        known = sorted(name for name, kind in FAULTS.items() if kind.places & set(places))
        raise BadFault("name", f'{fault.name} cannot happen on "{fault.on}": write one of {", ".join(known)}')


def _said(key: str, text: str) -> float:
    try:
        return float(int(text, 0)) if text[:2] in ("0x", "0X") else float(text)
    except ValueError as err:
        raise BadFault(key, f'{key}: "{text}" is no number') from err


def _number(key: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or not low <= value <= high:
        room = f"from {low:g} to {high:g}" if high < FOREVER else f"{low:g} or more"
        raise BadFault(key, f"{key}: write a number {room}, not {value!r}")
    return float(value)
