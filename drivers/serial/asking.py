"""Instruments that are asked: a request, and the frame that answers it.

Promises: what waits on the line from before is thrown away before anything is asked; a frame counts only where it
fits the request; where a frame comes alone, bytes that are stuck to it break it; a silent instrument costs one
timeout; its settings are sent again when it did not answer. Must not know: how frames and fields are written.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress

from drivers.api import LinkStats, Quality, Reading
from drivers.byte_port import BytePort, read_within
from drivers.errors import BadReply, DriverError, LinkDown, NoReply
from drivers.serial.fields import FieldReader, Found
from drivers.serial.framing import Framer, whole_frames
from drivers.serial.newest import NS_PER_S, SerialPlan
from drivers.serial.options import SerialOptions
from drivers.serial.profile import Refusal, Request, SerialPoint, SerialProfile, Step
from drivers.serial.requests import answers, pattern, refusal, request_bytes, requests_of, step_bytes
from drivers.serial.warm_up import WarmUp

CONFIRM_TIMES = 4
OFF_AFTER_SILENT_READS = 2
SETTLE_S = 0.1
"""How long the line must be silent before something is asked, where an answer was missing or broken."""
MAX_HEARD = 8192
"""More is no answer of any instrument, but a line that babbles."""
MAX_WAIT_S = 45.0
"""No instrument is waited for longer than this within one reading, whatever it says."""


class _Device:
    """One instrument of the line."""

    def __init__(self, profile: SerialProfile, options: SerialOptions) -> None:
        self.fields = FieldReader(profile)
        self.warm_up = WarmUp(profile, options)
        self.is_set_up = False
        self._silent_reads = 0

    def failed(self, err: DriverError) -> None:
        """It was not understood: its settings may be lost. It was silent again and again: it may have been off."""
        self.is_set_up = False
        self._silent_reads = self._silent_reads + 1 if isinstance(err, NoReply) else 0
        if self._silent_reads >= OFF_AFTER_SILENT_READS:
            self.warm_up.is_unknown()

    def answered(self) -> None:
        """It was understood, all of it."""
        self.is_set_up = True
        self._silent_reads = 0


class Asking:
    """Asks the instruments of one line, one at a time."""

    def __init__(self, port: BytePort, options: SerialOptions, stats: LinkStats) -> None:
        self._port = port
        self._options = options
        self._stats = stats
        self._devices: dict[tuple[int | None, str], _Device] = {}
        self._is_owed = False

    async def read(self, unit: int | None, plan: SerialPlan) -> list[Reading]:
        """Ask everything in `plan` once; `com` for the points of a request that alone was not answered.

        Raises `LinkDown`, `NoReply`, or `BadReply` where nothing was understood.
        """
        profile = plan.profile
        device = self._devices.get((unit, profile.model))
        if device is None:
            device = self._devices[unit, profile.model] = _Device(profile, self._options)
        duty = profile.duty
        try:
            if duty is not None:
                await self._steps(duty.wake, unit, device)
                await asyncio.sleep(
                    profile.frame.warm_up_s if self._options.warm_up_s is None else self._options.warm_up_s
                )
            return await self._read(unit, plan, device)
        except (NoReply, BadReply) as err:
            device.failed(err)
            raise
        finally:
            if duty is not None:
                await self._put_to_sleep(duty.sleep, unit)

    async def _read(self, unit: int | None, plan: SerialPlan, device: _Device) -> list[Reading]:
        if not device.is_set_up:
            await self._steps(plan.profile.settings, unit, device)
            device.is_set_up = True
        answered: dict[str, Reading] = {}
        error: DriverError | None = None
        for request, points in requests_of(plan.profile, plan.points):
            try:
                found, mono_ns = await self._confirmed(request, points, unit, plan.profile, device)
            except (NoReply, BadReply) as err:
                error = error or err
                if not answered and isinstance(err, NoReply):
                    raise error from err
                continue
            if plan.profile.duty is None:
                found = device.warm_up.judged(found, mono_ns, asked=True)
            answered.update((f.point.name, Reading(f.point.name, f.value, mono_ns, f.quality, f.status)) for f in found)
        if not answered and error is not None:
            raise error
        if error is None:
            device.answered()
        else:
            device.failed(error)
        now_ns = time.monotonic_ns()
        missing = [p for p in plan.points if p.name not in answered and not p.optional]
        answered.update((p.name, Reading(p.name, None, now_ns, Quality.NO_ANSWER)) for p in missing)
        return [answered[p.name] for p in plan.points if p.name in answered]

    async def _confirmed(
        self, request: Request, points: Sequence[SerialPoint], unit: int | None, profile: SerialProfile, device: _Device
    ) -> tuple[list[Found], int]:
        """What the answer says of `points`, and when it came; where it must be confirmed, what two in a row say."""
        await self._steps(request.before, unit, device)
        before: list[Found] | None = None
        for _ in range(CONFIRM_TIMES):
            frame, mono_ns = await self._ask(request, unit, profile)
            found = [one for one in device.fields.read(frame, points) if not (one.empty and one.point.optional)]
            if not found:
                raise self._bad(f"{_shown(profile, frame)} has none of the points that were asked for")
            if not request.confirm or found == before:
                return found, mono_ns
            before = found
        raise self._bad(f"of {CONFIRM_TIMES} answers no two in a row say the same; is the line disturbed?")

    async def _ask(self, request: Request, unit: int | None, profile: SerialProfile) -> tuple[bytes, int]:
        """The frame that answers `request`, and when it was complete; asked again where the instrument wants that."""
        deadline = time.monotonic() + self._options.timeout_s
        while True:
            answer, mono_ns = await self._ask_once(request, unit, profile)
            if isinstance(answer, bytes):
                return answer, mono_ns
            if answer.again_s is None or time.monotonic() + answer.again_s > deadline:
                raise self._bad(f"the instrument refuses: {answer.means}")
            await asyncio.sleep(answer.again_s)

    async def _ask_once(
        self, request: Request, unit: int | None, profile: SerialProfile
    ) -> tuple[bytes | Refusal, int]:
        await self._clear()
        self._stats.requests += 1
        started_ns = time.monotonic_ns()
        try:
            await self._port.write(request_bytes(request, unit))
            return await self._answer(request, unit, profile)
        except (NoReply, BadReply):
            self._is_owed = True
            raise
        finally:
            self._stats.busy_s += (time.monotonic_ns() - started_ns) / NS_PER_S

    async def _answer(self, request: Request, unit: int | None, profile: SerialProfile) -> tuple[bytes | Refusal, int]:
        """The frame that answers, or the refusal, and when it was complete."""
        framer = Framer(profile.frame)
        heard, other = b"", ""
        deadline = time.monotonic() + self._options.timeout_s
        while len(heard) < MAX_HEARD and (data := await read_within(self._port, deadline - time.monotonic())):
            heard += data
            arrived_ns = time.monotonic_ns()
            for frame in framer.feed(data):
                if refused := refusal(profile.frame, unit, frame):
                    return refused, arrived_ns
                if not answers(request, unit, frame):
                    other = f"{_shown(profile, frame)} is no answer to what was asked"
                    continue
                if profile.frame.alone:
                    await self._check_alone(profile, heard)
                return frame, arrived_ns
        raise self._nothing(heard, framer.problem or other)

    async def _check_alone(self, profile: SerialProfile, heard: bytes) -> None:
        """Wait for the pause behind a frame; raises `BadReply` where something else is stuck to it."""
        while data := await read_within(self._port, profile.frame.max_pause_s or SETTLE_S):
            heard += data
            if len(heard) > MAX_HEARD:
                break
        frames, problem = whole_frames(profile.frame, heard)
        if len(frames) != 1:
            raise self._bad(problem or f"{heard[:64].hex(' ').upper()} is more than one answer")

    async def _steps(self, steps: Sequence[Step], unit: int | None, device: _Device) -> None:
        """Say the steps, one after another; raises `NoReply` or `BadReply` where one is not answered as it expects."""
        for step in steps:
            await self._step(step, unit, device)

    async def _step(self, step: Step, unit: int | None, device: _Device) -> None:
        within_s = self._options.timeout_s if step.within_s is None else step.within_s
        heard = b""
        for _ in range(step.tries):
            await self._clear()
            await self._port.write(step_bytes(step, unit))
            found, heard = await self._expected(step, unit, within_s)
            if found:
                break
        else:
            self._is_owed = True
            raise self._nothing(heard, f"{step_bytes(step, unit)!r} was not answered as expected" if heard else "")
        if step.starts and not (step.unless and pattern(step.unless, unit).search(heard)):
            device.warm_up.was_started(time.monotonic_ns())
        if step.wait_group is not None and isinstance(found, re.Match):
            await self._ready(step, unit, float(found[step.wait_group]))
        await asyncio.sleep(step.pause_s)

    async def _expected(self, step: Step, unit: int | None, within_s: float) -> tuple["re.Match[bytes] | bool", bytes]:
        """What fits `expect`; True where nothing is expected, False where it did not come in time."""
        if not step.expect:
            return True, b""
        heard = b""
        deadline = time.monotonic() + within_s
        while len(heard) < MAX_HEARD and (data := await read_within(self._port, deadline - time.monotonic())):
            heard += data
            if found := pattern(step.expect, unit).search(heard):
                return found, heard
        return False, heard

    async def _ready(self, step: Step, unit: int | None, wait_s: float) -> None:
        """Wait as long as the instrument said, or until it says that it is ready."""
        heard = b""
        deadline = time.monotonic() + min(wait_s, MAX_WAIT_S)
        while data := await read_within(self._port, deadline - time.monotonic()):
            heard = (heard + data)[-MAX_HEARD:]
            if step.ready and pattern(step.ready, unit).search(heard):
                return

    async def _put_to_sleep(self, steps: Sequence[Step], unit: int | None) -> None:
        """Best effort: one that stays awake wears out, but measures right."""
        with suppress(LinkDown):
            for step in steps:
                await self._port.write(step_bytes(step, unit))

    async def _clear(self) -> None:
        """Throw away what came before it was asked for; after a missing answer, wait until the line is silent.

        Raises `BadReply` where it never is.
        """
        quiet_s = SETTLE_S if self._is_owed else 0.0
        deadline = time.monotonic() + self._options.timeout_s
        while data := await read_within(self._port, quiet_s):
            self._stats.late_bytes += len(data)
            if time.monotonic() > deadline:
                raise self._bad("bytes come without end; is the instrument set to send by itself?")
        self._is_owed = False

    def _nothing(self, heard: bytes, problem: str) -> NoReply | BadReply:
        if heard:
            what = problem or f"{len(heard)} bytes came, no frame: {heard[:32].hex(' ').upper()}"
            return self._bad(f"{what}; check baud, parity and the profile", heard)
        self._stats.no_reply += 1
        return NoReply(
            f"{self._options.endpoint}, within {self._options.timeout_s:g} s: no answer; is the instrument on, and are "
            "its two data wires the right way round?"
        )

    def _bad(self, why: str, heard: bytes = b"") -> BadReply:
        self._stats.bad_reply += 1
        return BadReply(f"{self._options.endpoint}: {why}", heard=heard)


def _shown(profile: SerialProfile, frame: bytes) -> str:
    return frame.decode("ascii", "replace").strip() if profile.frame.is_text else frame.hex(" ").upper()
