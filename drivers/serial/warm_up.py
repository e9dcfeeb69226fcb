"""Values that settle after an instrument was switched on. Pure.

Promises: no value counts as good before the instrument has been on for `warm_up_s`. Must not know: ports, clocks.
"""

from collections.abc import Iterable
from dataclasses import replace

from drivers.api import Quality
from drivers.serial.fields import Found
from drivers.serial.newest import NS_PER_S
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile


class WarmUp:
    """One instrument. When it was switched on is not told by it: it is taken as on since it was first heard."""

    def __init__(self, profile: SerialProfile, options: SerialOptions) -> None:
        seconds = profile.frame.warm_up_s if options.warm_up_s is None else options.warm_up_s
        self._warm_up_ns = round(seconds * NS_PER_S)
        self._silence_ns = round(max(options.timeout_s, 1.0) * NS_PER_S)
        self._on_ns: int | None = None
        self._heard_ns: int | None = None

    def was_started(self, mono_ns: int) -> None:
        """It was switched on at `mono_ns`, by us or by itself."""
        self._on_ns = self._heard_ns = mono_ns

    def is_unknown(self) -> None:
        """It did not answer: it may have been off."""
        self._on_ns = None

    def judged(self, found: Iterable[Found], mono_ns: int, *, asked: bool = False) -> list[Found]:
        """What a frame said at `mono_ns`; `ini` without a value while it warms up.

        One that sends by itself (not `asked`) and was silent for longer than the link's timeout may have been off.
        """
        silent = self._heard_ns is not None and not asked and mono_ns - self._heard_ns > self._silence_ns
        if self._on_ns is None or silent:
            self._on_ns = mono_ns
        self._heard_ns = mono_ns
        if mono_ns - self._on_ns >= self._warm_up_ns:
            return list(found)
        return [replace(one, value=None, quality=Quality.WARMING_UP) if one.point.flagged else one for one in found]
