"""Reading the devices of one link by ourselves, a few times, while somebody listens to every byte.

Promises: ends within the time that it is given; the link is closed at the end; devices for which there was no time are
said so. Reads only, as the running agent would.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from agent.cli.doctor.devices.exchanges import Exchange, Listener
from agent.cli.doctor.devices.observation import LinkSeen, Observation, observed
from agent.cli.doctor.devices.shapes import Framing
from agent.cli.doctor.devices.trouble import why_down
from agent.configuration import by_interval
from agent.settings import DeviceSettings, LinkSettings
from drivers.api import Link, Quality, Reading
from drivers.errors import BadReply, DeviceRefused, LinkDown, NoReply
from drivers.tap import tapped

ROUNDS: Final = 3
LINGER_MAX_S: Final = 2.5
"""So long an answer is waited for beyond its time, to tell a slow device from a dead one."""
_LINGER_TIMEOUTS: Final = 4
_LINGERS: Final = 2
"""So many silent devices are waited for so long; the next ones for one more timeout."""
_SILENCES: Final = 2
_ENOUGH: Final = 3
"""So many failed requests show what there is to see."""
_REST_S: Final = 0.1
"""The rest of an answer whose first bytes have come; a longer one shows its size all the same."""


class _Seen(msgspec.Struct):
    """What one device has done so far."""

    settings: DeviceSettings
    plans: list[Any]
    timeout_s: float
    exchanges: list[Exchange] = []
    readings: dict[str, Reading] = {}
    silent: int = 0
    outcomes: list[str] = []
    mismatch: str = ""


async def polled(link: LinkSettings, devices: Sequence[DeviceSettings], seconds: float) -> LinkSeen:
    """Read each device of `link`, in rounds; all of it within `seconds`."""
    found = [_to_see(link, device) for device in devices]
    listener = Listener(time.monotonic)
    down = ""
    try:
        async with asyncio.timeout(seconds):
            with tapped(listener):
                async with link.spec.open_link(link.options) as line:
                    await _rounds(line, found, listener)
    except LinkDown as err:
        down = str(err)
    except TimeoutError:
        pass
    return _link_seen(link, found, listener, down)


async def _rounds(line: Link, found: Sequence[_Seen], listener: Listener) -> None:
    """Everybody once before anybody twice, until enough is known of each."""
    for number in range(ROUNDS):
        for position, one in enumerate(found):
            somebody_answers = any("ok" in other.outcomes for other in found)
            if number == 0 or _is_worth_it(one, first=position == 0, somebody_answers=somebody_answers):
                vain = sum(other.silent for other in found)
                linger_s = min(LINGER_MAX_S, one.timeout_s * (_LINGER_TIMEOUTS if vain < _LINGERS else 1))
                await _poll(line, one, listener, linger_s)


def _is_worth_it(one: _Seen, *, first: bool, somebody_answers: bool) -> bool:
    """Ask again? Where nobody answers, one more try of one device shows as much as of all of them."""
    if "ok" in one.outcomes:
        return True
    return one.silent < _SILENCES and len(one.exchanges) < _ENOUGH and (first or somebody_answers)


def _to_see(link: LinkSettings, device: DeviceSettings) -> _Seen:
    """What to ask of `device`, and how long it may take: its profile may allow more than the link."""
    groups = by_interval(device).values()
    plans = [link.spec.compile_plan(device.profile, [p.point for p in points]) for points in groups]
    return _Seen(device, plans, max(link.options.timeout_s, *(getattr(plan, "timeout_s", 0.0) for plan in plans)))


async def _poll(line: Link, one: _Seen, listener: Listener, linger_s: float) -> None:
    """Read one device once, and note what came; after silence wait for what may come late, the first time."""
    first = len(listener.exchanges)
    try:
        await _read(line, one)
        one.outcomes.append("ok")
    except BadReply:
        one.outcomes.append("bad")
    except DeviceRefused:
        one.outcomes.append("refused")
    except NoReply:
        one.outcomes.append("silent")
        last = listener.exchanges[-1] if len(listener.exchanges) > first else None
        if last and not last.pieces and not one.silent:
            await _linger(listener, linger_s)
        one.silent += 1
    finally:
        one.exchanges += listener.exchanges[first:]


async def _read(line: Link, one: _Seen) -> None:
    device = one.settings
    one.mismatch = (await line.identify(device.unit, device.profile)).mismatch
    for plan in one.plans:
        for reading in await line.read(device.unit, plan):
            one.readings[reading.point] = reading


async def _linger(listener: Listener, seconds: float) -> None:
    listener.heard.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await listener.heard.wait()
        await asyncio.sleep(_REST_S)


def _link_seen(link: LinkSettings, found: Sequence[_Seen], listener: Listener, down: str) -> LinkSeen:
    options = link.options
    seen = LinkSeen(
        link=link.name,
        endpoint=options.endpoint,
        serial=options.endpoint.startswith("/"),
        framing=framing_of(link),
        unasked=listener.unasked,
    )
    char_s = options.wire_s(1) if hasattr(options, "wire_s") else options.char_s
    devices = [_device_seen(one, seen, char_s) for one in found]
    if down and not any(one.shapes["not_modbus"] for one in devices):
        return msgspec.structs.replace(seen, trouble=why_down(options, down), detail=down)
    return msgspec.structs.replace(seen, devices=devices)


def framing_of(link: LinkSettings) -> Framing:
    """How messages stand on the wire of `link`."""
    framing: Framing = link.options.framing if link.spec.kind == "modbus" else "bytes"
    return framing


def _device_seen(one: _Seen, seen: LinkSeen, char_s: float) -> Observation:
    found = Observation(device=one.settings.name, unit=one.settings.unit, timeout_s=one.timeout_s)
    observed(found, one.exchanges, seen.framing, char_s)
    if seen.framing == "bytes":
        _judge_by_outcomes(found, one, seen)
    values = [reading for reading in one.readings.values() if reading.value is not None]
    found.total = len(values)
    found.implausible = [r.point for r in one.readings.values() if r.quality is Quality.OUT_OF_RANGE]
    found.refused = [r.point for r in one.readings.values() if r.quality is Quality.CONFIGURATION]
    found.faulty = [r.point for r in one.readings.values() if r.quality is Quality.FAULT]
    found.mismatch = one.mismatch
    found.not_asked = not one.outcomes
    return found


def _judge_by_outcomes(found: Observation, one: _Seen, seen: LinkSeen) -> None:
    """Only the driver can say what a message of an instrument is: its word counts, not the bytes."""
    heard = seen.unasked + sum(len(exchange.heard) for exchange in one.exchanges)
    echoes, found.slow = found.shapes["echo"], False
    found.shapes.clear()
    for outcome in one.outcomes:
        if outcome in ("ok", "refused"):
            found.shapes["answer"] += 1
        elif outcome == "bad":
            found.shapes["bytes"] += 1
        else:
            found.shapes["echo" if echoes else "nothing"] += 1
            found.valueless = heard > 0 and not echoes
