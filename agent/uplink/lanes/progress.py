"""How fast the lanes may go, and what they have done since the start of the process. Pure."""

import msgspec


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How patient and how fast the lanes are. Without any PUBACK for `silence_s` the connection is given up."""

    resend_s: float = 60.0
    silence_s: float = 60.0
    backfill_readings_per_s: float = 20_000.0


class Progress(msgspec.Struct, kw_only=True):
    """Counters; `alarms` are faults that a person must mend, by topic."""

    published: int = 0
    acked: int = 0
    rejected: dict[str, int] = {}
    dead: int = 0
    last_ack_ms: int | None = None
    alarms: dict[str, str] = {}

    @property
    def alarm(self) -> str:
        """The alarm that stands longest; empty without any."""
        return next(iter(self.alarms.values()), "")
