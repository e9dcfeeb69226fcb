"""One open Modbus path: ask, wait, and take only an answer that cannot be another one's.

On a serial line nothing in a reply says which request it answers. Promises, for RTU and RTU over TCP:
* After a request without a good answer the line stays quiet for at least its timeout, longer while bytes come;
  what comes is thrown away and counted as `late_bytes`.
* The same unit is not asked for as much again until the answer came late or is `LATE_MAX` timeouts old: a device
  that answers out of order is safe too. Other units go on meanwhile.
* Then the unit gets a barrier: a read with a count that no unanswered request to it had, and that the next one
  does not have. Its answer shows that older answers are through, however late. Only then values count again.
* A device that was seen late gets a longer timeout.
Modbus/TCP numbers its requests; there a late reply is known by its number and needs none of this.
Must not know: profiles, values, pymodbus.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from drivers.api import LinkStats
from drivers.errors import BadReply, DriverError, LinkDown, NoReply
from drivers.modbus.barrier import barrier
from drivers.modbus.framing import NOISE, ascii_answer, mbap_frames, rtu_answer
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Answer, Identify, Request, answer
from drivers.modbus.transport import Wire
from drivers.timerfd import sleep_until

QUIET_MAX = 6
"""A line that is not quiet after so many timeouts is given up for this request."""
PATIENCE_MAX = 4
"""A slow device gets at most so many times the timeout of the link."""
LATE_MAX = 5
"""So many timeouts after its request an answer is not waited for any more; the barrier catches later ones."""
FORGIVE_S = 30.0
"""Some devices are silent on a count that they dislike: after so long without a barrier they are asked plainly."""
DEAF_AFTER = 3
DEAF_AFTER_NUMBERED = 2
"""A TCP connection that has given no byte to so many requests is left for a new one; that, after one."""
_GAP_MIN_S = 0.05
_HEARD_MAX = 4_096
_OWED_MAX = 16
_LONGEST = 252


@dataclass(slots=True)
class _Pending:
    """The request that is on the wire, what was heard since it went out, and until when it waits for more."""

    request: Request | Identify
    sent_at: float
    done: asyncio.Future[tuple[Answer, int]]
    sent: bytes = b""
    heard: bytearray = field(default_factory=bytearray)
    deadline: float = 0.0
    until: float = 0.0
    gap_s: float = 0.0
    _timer: asyncio.TimerHandle = field(init=False)

    async def answered(self) -> tuple[Answer, int]:
        """The answer; raises `TimeoutError` at the deadline, which may be put off meanwhile."""
        self._look_again()
        try:
            return await self.done
        finally:
            self._timer.cancel()

    def _look_again(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self.deadline, self._look)

    def _look(self) -> None:
        if self.done.done():
            return
        if self.deadline > _now():
            self._look_again()
        else:
            self.done.set_exception(TimeoutError())


@dataclass(frozen=True)
class _Owed:
    """A request whose answer may still come: `passed` only out of order, for a later one was answered."""

    request: Request | Identify
    sent_at: float
    wait_until: float
    passed: bool = False


@asynccontextmanager
async def open_line(options: ModbusOptions) -> AsyncIterator["Line"]:
    """Open the path of `options`; raises `LinkDown`. A serial line is listened to for one timeout first."""
    line = Line(options)
    try:
        await line.open()
        yield line
    finally:
        line.close()


class Line:
    """One request at a time. `stats` counts what happened."""

    def __init__(self, options: ModbusOptions) -> None:
        self.stats = LinkStats()
        self._options = options
        self._numbered, self._char_s = options.numbered, options.char_s
        self._find = ascii_answer if options.framing == "ascii" else rtu_answer
        self._wire = Wire(options, self._on_bytes, self._on_lost)
        self._lost = False
        self._proven = False
        self._silent, self._afresh = 0, False
        self._pending: _Pending | None = None
        self._stream = bytearray()
        self._idle = bytearray()
        self._heard_at = 0.0
        self._quiet_from: float | None = None
        self._quiet_s = options.timeout_s
        self._owed: dict[int, list[_Owed]] = {}
        self._settled = asyncio.Event()
        self._patience_s: dict[int, float] = {}

    async def open(self) -> None:
        """Open the path; a reply to whoever used the line before us may still be under way."""
        await self._wire.open()
        self._lost = False
        self._silent = 0
        self._stream.clear()
        await asyncio.sleep(self._options.delay_after_connect_s)
        self._heard_at = _now()
        if not self._numbered:
            self._quiet_from = _now()

    def close(self) -> None:
        """Close the path."""
        self._wire.close()

    async def request(
        self, request: Request | Identify, timeout_s: float = 0.0, pause_s: float = 0.0
    ) -> tuple[Answer, int]:
        """The answer to `request`, and the monotonic time in ns when it was complete.

        `timeout_s` (where longer than the link's) and `pause_s` (silence before the request) are the device's own.
        Raises `LinkDown`, `NoReply` or `BadReply`; a refusal is an answer.
        """
        timeout_s = max(self._options.timeout_s, timeout_s, self._patience_s.get(request.unit, 0.0))
        await self._reopen_if_closed()
        await self._await_owed(request)
        await self._reopen_if_deaf()
        if isinstance(request, Request) and any(not owed.passed for owed in self._owed.get(request.unit, ())):
            await self._barrier(request, timeout_s, pause_s)
        return await self._ask(request, timeout_s, pause_s)

    async def _reopen_if_closed(self) -> None:
        """Some devices close a TCP connection that was idle for a while: that is no failure."""
        if not self._lost:
            return
        if self._options.is_serial or not self._proven:
            raise LinkDown(f"{self._options.endpoint} is gone")
        self._proven = False
        await self.open()

    async def _reopen_if_deaf(self) -> None:
        """TCP tells nobody that a device has lost its power, or a router the connection. What is owed stays owed."""
        patience = 1 if self._afresh else DEAF_AFTER_NUMBERED if self._numbered else DEAF_AFTER
        if self._silent >= patience and not self._lost and not self._options.is_serial:
            self._wire.close()
            await self.open()
            self._afresh = True

    async def _await_owed(self, request: Request | Identify) -> None:
        """Wait for late answers that would look like the one to `request`, until they are seen or too old."""
        while not self._lost and (owed := self._owed.get(request.unit)):
            self._settled.clear()
            until = max((o.wait_until for o in owed if o.request.reply_bytes == request.reply_bytes), default=0.0)
            if until <= _now():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._settled.wait()

    async def _barrier(self, request: Request, timeout_s: float, pause_s: float) -> None:
        owed = self._owed[request.unit]
        if len(owed) > 2 and _now() - owed[0].sent_at > max(FORGIVE_S, 10 * timeout_s):
            del self._owed[request.unit]
            return
        found, _ = await self._ask(barrier(request, [o.request for o in owed]), timeout_s, pause_s)
        if found.refused:
            # It may be a late refusal of an older request: then the barrier's own comes now, into the silence.
            self._trouble(timeout_s)
            await self._quiet(self._options.silence_s)
        # A barrier shows nothing about a device that answers out of order: there only time helps.
        left = [replace(o, passed=True) for o in self._owed.pop(request.unit, ()) if o.wait_until > _now()]
        if left:
            self._owed[request.unit] = left

    async def _ask(self, request: Request | Identify, timeout_s: float, pause_s: float) -> tuple[Answer, int]:
        await self._quiet(max(pause_s, self._options.silence_s))
        if self._lost:
            raise LinkDown(f"{self._options.endpoint} is gone")
        self._idle.clear()
        started = _now()
        pending = _Pending(
            request, started, asyncio.get_running_loop().create_future(), gap_s=max(timeout_s / 2, _GAP_MIN_S)
        )
        self._pending = pending
        self.stats.requests += 1
        try:
            return await self._exchange(pending, timeout_s)
        except TimeoutError:
            self._silent += 1
            raise self._failure(pending, timeout_s) from None
        finally:
            self._pending = None
            self.stats.busy_s += _now() - started
            self._after(pending, timeout_s)

    async def _exchange(self, pending: _Pending, timeout_s: float) -> tuple[Answer, int]:
        request, char_s = pending.request, self._char_s
        pending.sent = self._wire.send(request)
        chars = 2 if self._options.framing == "ascii" else 1
        frames_s = chars * (13 + (request.reply_bytes or _LONGEST)) * char_s
        pending.until = pending.sent_at + 2 * (timeout_s + frames_s)
        pending.deadline = pending.sent_at + 8 * char_s + timeout_s
        return await pending.answered()

    def _after(self, pending: _Pending, timeout_s: float) -> None:
        """Look at what else was heard, and remember what may still come."""
        answered = pending.done.done() and not pending.done.cancelled() and pending.done.exception() is None
        self._proven = self._proven or answered
        if self._numbered:
            return
        if answered:
            self.stats.late_bytes += len(pending.heard.strip(NOISE))
        dirty = bool(pending.heard.strip(NOISE))
        self._settle(pending.heard)
        if not answered:
            owed = self._owed.setdefault(pending.request.unit, [])
            garbled = len(pending.heard.strip(NOISE)) >= 5 + (pending.request.reply_bytes or _LONGEST)
            wait_s = 0.0 if garbled else LATE_MAX * timeout_s
            owed.append(_Owed(pending.request, pending.sent_at, pending.sent_at + wait_s))
            del owed[:-_OWED_MAX]
        if dirty or not answered:
            self._trouble(timeout_s)

    def _trouble(self, timeout_s: float) -> None:
        self._quiet_from = _now()
        self._quiet_s = timeout_s

    async def _quiet(self, silence_s: float) -> None:
        """Wait until nothing was heard for `silence_s`, and for the quiet time where there was trouble.

        What is heard meanwhile, be it a stray byte as the RS-485 driver of a device lets go, begins the silence anew.
        """
        give_up = _now() + QUIET_MAX * self._quiet_s
        while not self._lost:
            over = self._quiet_at(silence_s)
            if over <= _now() and self._numbered:
                return
            if over > _now() > give_up:
                self.stats.bad_reply += 1
                raise NoReply(f"{self._options.endpoint} is never quiet: does a device babble, or is the baud wrong?")
            await sleep_until(over)
            if self._quiet_at(silence_s) <= over:
                self._quiet_from = None
                return

    def _quiet_at(self, silence_s: float) -> float:
        """When the line was silent for long enough, if nothing more is heard."""
        if self._quiet_from is None:
            return self._heard_at + silence_s
        return max(self._quiet_from + self._quiet_s, self._heard_at + max(self._quiet_s, silence_s))

    def _failure(self, pending: _Pending, timeout_s: float) -> DriverError:
        heard = bytes(pending.heard).replace(pending.sent, b"", 1) if pending.sent else bytes(pending.heard)
        if heard.strip(NOISE):
            self.stats.bad_reply += 1
            return BadReply(
                f"{pending.request}: {heard[:40].hex(' ')} is no answer to it; check baud, parity and wiring",
                pending.sent,
                bytes(pending.heard),
            )
        self.stats.no_reply += 1
        return NoReply(f"{pending.request}: no reply within {timeout_s:g} s; check power, wiring, unit id and baud")

    def _on_lost(self) -> None:
        self._lost = True
        self._settled.set()
        if self._pending and not self._pending.done.done():
            self._pending.done.set_exception(LinkDown(f"{self._options.endpoint} went away during a request"))

    def _on_bytes(self, data: bytes) -> None:
        now = _now()
        self._heard_at = now
        self._silent, self._afresh = 0, False
        pending = self._pending
        if self._options.transport == "udp":
            self._on_datagram(data, pending)
        elif self._numbered:
            self._on_stream(data, pending)
        elif pending is None:
            self.stats.late_bytes += len(data)
            self._idle += data
            del self._idle[:-_HEARD_MAX]
            if data.strip(NOISE):
                self._quiet_from = self._quiet_from or now
            self._settle(self._idle)
        elif pending.done.done():
            pending.heard += data
        else:
            self._on_reply(data, pending, now)

    def _on_reply(self, data: bytes, pending: _Pending, now: float) -> None:
        pending.heard += data
        found = self._find(pending.request, bytes(pending.heard), pending.sent)
        if found:
            pending.done.set_result((found[0], time.monotonic_ns()))
            pending.heard[:] = found[1]
            return
        del pending.heard[:-_HEARD_MAX]
        pending.deadline = max(pending.deadline, min(now + pending.gap_s, pending.until))

    def _on_datagram(self, data: bytes, pending: _Pending | None) -> None:
        """One datagram is one frame; anything else is thrown away."""
        with suppress(BadReply):
            frames = list(mbap_frames(data))
            if len(frames) == 1 and len(data) == 7 + len(frames[0][2]):
                self._on_frame(*frames[0], pending)
                return
        self.stats.late_bytes += len(data)

    def _on_stream(self, data: bytes, pending: _Pending | None) -> None:
        self._stream += data
        try:
            for number, unit, pdu in mbap_frames(bytes(self._stream)):
                del self._stream[: 7 + len(pdu)]
                self._on_frame(number, unit, pdu, pending)
        except BadReply as err:
            self._wire.close()
            self._lost, self._proven = True, False
            if pending and not pending.done.done():
                pending.done.set_exception(LinkDown(f"{self._options.endpoint}: {err}"))

    def _on_frame(self, number: int, unit: int, pdu: bytes, pending: _Pending | None) -> None:
        if pending is None or pending.done.done() or number != int.from_bytes(pending.sent[:2], "big"):
            self.stats.late_bytes += 7 + len(pdu)
            return
        found = answer(pending.request, pdu) if unit == pending.request.unit else None
        if found:
            pending.done.set_result((found, time.monotonic_ns()))
        else:
            what = f"{pending.request}: unit {unit} answered {pdu[:20].hex(' ')}, which is no answer to it"
            self.stats.bad_reply += 1
            heard = pending.sent[:6] + bytes([unit]) + pdu
            pending.done.set_exception(BadReply(what, pending.sent, heard))

    def _settle(self, heard: bytearray) -> None:
        """Strike off what was owed and came late, and be more patient with its device."""
        for unit, owed in list(self._owed.items()):
            for index, late in enumerate(owed):
                if found := self._find(late.request, bytes(heard)):
                    heard[:] = found[1]
                    self._be_patient(unit, _now() - late.sent_at)
                    del owed[: index + 1]
                    self._settled.set()
                    break
            if not owed:
                del self._owed[unit]

    def _be_patient(self, unit: int, late_s: float) -> None:
        most = PATIENCE_MAX * self._options.timeout_s
        self._patience_s[unit] = max(self._patience_s.get(unit, 0.0), min(most, 1.5 * late_s))


def _now() -> float:
    """In seconds, not that of the loop: another loop's may be milliseconds old, and so would be the silence."""
    return time.monotonic()
