"""When the certificate of this gateway ends: for `status`, the health message, and events 30, 14, 7, 1 days before.

Promises: each of these days is told once for a certificate, also over restarts (a crash in the moment between telling
and remembering tells it twice); a gateway that first looks when few days are left tells the nearest one only; a
certificate that cannot be read stops nothing; a clock that was never set is not believed before
`clock.hold_unsynced_s` is over.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from agent.clock import NS_PER_S, Clock, ClockState
from agent.model import Event, Severity
from agent.settings import Settings
from agent.uplink.mqtt.aside import aside
from agent.uplink.mqtt.tls.certificate import Certificate, certificate_in
from agent.uplink.remembered import Remembered

log = logging.getLogger(__name__)

FILE_NAME: Final = "certificate.json"
CHECK_S: Final = 60.0
DAY_MS: Final = 86_400_000
SEVERITIES: Final[dict[int, Severity]] = {1: "critical", 7: "major", 14: "minor", 30: "minor"}
"""By days before the end, the nearest first."""


class Told(msgspec.Struct, frozen=True):
    """The nearest day that was told of a certificate."""

    fingerprint: str
    days: int


class ExpiryWatch:
    """Looks at the certificate for ever. `certificate` is None where there is none that can be read."""

    def __init__(self, settings: Settings, clock: Clock, on_event: Callable[[Event], None]) -> None:
        self.file = settings.uplink.cert_file if settings.uplink.tls else ""
        self.certificate: Certificate | None = None
        path, cost = Path(settings.gateway.data_dir) / FILE_NAME, "the end of a certificate may be told once more"
        self._told_file: Remembered[Told | None] = Remembered(path, Told | None, None, cost)
        self._told: Told | None = None
        self._remembers = False
        self._clock = clock
        self._believed_ns = clock.mono_ns() + round(settings.clock.hold_unsynced_s * NS_PER_S)
        self._on_event = on_event

    async def run(self) -> None:
        """Look once a minute; reading a small file costs nothing."""
        if not self.file:
            return
        while True:
            await self.look()
            await asyncio.sleep(CHECK_S)

    async def read(self) -> None:
        """Read the certificate; where that is not possible there is none."""
        if not self.file:
            return
        try:
            self.certificate = await aside(partial(certificate_in, Path(self.file)), "certificate")
        except (OSError, ValueError) as err:
            self.certificate = None
            log.debug("%s: its dates are not known: %s", self.file, err)

    async def look(self) -> None:
        """Read it, and tell what is due."""
        await self.read()
        if self.certificate is None:
            return
        if not self._remembers:
            self._told = await aside(self._told_file.read, "certificate")
            self._remembers = True
        days = due(self.certificate, self._clock.wall_ms(), self._told)
        if days is not None and self._clock_is_believed():
            self._tell(self.certificate, days)
            self._told = Told(self.certificate.fingerprint, days)
            await aside(partial(self._told_file.write, self._told), "certificate")

    def _clock_is_believed(self) -> bool:
        return self._clock.state() is not ClockState.UNSYNC or self._clock.mono_ns() >= self._believed_ns

    def _tell(self, certificate: Certificate, days: int) -> None:
        left_ms = certificate.expires_ms - self._clock.wall_ms()
        left = round(left_ms / DAY_MS)
        date = f"{datetime.fromtimestamp(certificate.expires_ms / 1000, UTC):%Y-%m-%d}"
        message = {
            "vi": f"Chứng thư {self.file} hết hạn ngày {date} (còn {left} ngày)",
            "en": f"The certificate {self.file} expires on {date} (days left: {left})",
        }
        if left_ms < 0:
            message = {
                "vi": f"Chứng thư {self.file} đã hết hạn ngày {date}",
                "en": f"The certificate {self.file} has expired on {date}",
            }
        log.warning("%s: have it renewed", message["en"])
        now_ns = self._clock.mono_ns()
        self._on_event(Event(type="certificate.expiring", severity=SEVERITIES[days], mono_ns=now_ns, message=message))


def due(certificate: Certificate, now_ms: int, told: Told | None) -> int | None:
    """The day before the end that must be told now; None where there is nothing new to tell. Pure."""
    left_ms = certificate.expires_ms - now_ms
    nearest = next((days for days in SEVERITIES if left_ms <= days * DAY_MS), None)
    if nearest is None or (told and told.fingerprint == certificate.fingerprint and told.days <= nearest):
        return None
    return nearest
