"""The commands of the IOC: each is a name and what carries it out.

Promises: every command gets one result, also one that is unknown, has expired, or fails; the same command twice (QoS 1
may deliver twice) is carried out once; what nobody could have meant is a security event, at most one in
`TELL_EVERY_S`, so that nobody fills the outbox with it.
Must not know: MQTT, what a command does.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from agent.clock import NS_PER_S, Clock
from agent.model import Event, Result
from agent.store import Store
from agent.uplink.downlink.messages import Command

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 8
REMEMBERED: Final = 100
TELL_EVERY_S: Final = 600.0
MAX_ERROR: Final = 200

CarryOut = Callable[[Command], Awaitable[str | None]]
"""Carries a command out, and gives why it could not; None where it did."""


class Commands:
    """Which commands there are, and what became of each."""

    def __init__(self, carried_out_by: Mapping[str, CarryOut], store: Store, clock: Clock) -> None:
        self._carried_out_by = carried_out_by
        self._store = store
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._seen: deque[str] = deque(maxlen=REMEMBERED)
        self._told_ns: int | None = None
        self._untold = 0

    @property
    def names(self) -> list[str]:
        """What the birth says that can be asked for."""
        return sorted(self._carried_out_by)

    def offer(self, carried_out_by: Mapping[str, CarryOut]) -> None:
        """These are the commands from now on; what is under way goes on."""
        self._carried_out_by = carried_out_by

    def heard(self, command: Command) -> None:
        """Carry out a command, beside everything else."""
        if command.id in self._seen:
            return
        self._seen.append(command.id)
        if refusal := self._refusal(command):
            self._answer(command.id, refusal)
            return
        carry_out = self._carried_out_by[command.command]
        task = asyncio.get_running_loop().create_task(self._obey(command, carry_out), name=f"command {command.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def bad(self, detail: str) -> None:
        """Something that is no command came where commands come."""
        self._untold += 1
        now_ns = self._clock.mono_ns()
        if self._told_ns is not None and now_ns - self._told_ns < TELL_EVERY_S * NS_PER_S:
            return
        message = {"vi": f"{self._untold} lệnh không hợp lệ: {detail}", "en": f"{self._untold} bad commands: {detail}"}
        self._told_ns, self._untold = now_ns, 0
        self._store.append_event(
            Event(type="security.bad_command", severity="minor", mono_ns=now_ns, message=message, reason="command")
        )

    async def _obey(self, command: Command, carry_out: CarryOut) -> None:
        try:
            error = await carry_out(command)
        except Exception:
            self._answer(command.id, "it failed here; see the log of the gateway")
            raise
        self._answer(command.id, error)

    def _refusal(self, command: Command) -> str | None:
        if command.command not in self._carried_out_by:
            self.bad(f"{command.command!r}"[:MAX_ERROR])
            known = ", ".join(self.names) or "no commands"
            return f'"{command.command}" is not known here; there is: {known}'
        if command.expires_ms is not None and self._clock.wall_ms() > command.expires_ms:
            return "it came after it had expired"
        if len(self._running) >= MAX_AT_ONCE:
            return "too many commands at once"
        return None

    def _answer(self, command: str, error: str | None) -> None:
        if error:
            log.warning("command %s: %s", command, error)
        said = None if error is None else error[:MAX_ERROR]
        self._store.append_result(Result(id=command, mono_ns=self._clock.mono_ns(), ok=error is None, error=said))
