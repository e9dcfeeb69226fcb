"""What is said to an instrument that is asked, and which frames answer it. Pure.

Promises: a frame counts only as the answer to the request whose `reply` it fits. Must not know: ports, time, values.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from drivers.serial.checksums import CHECKSUMS
from drivers.serial.profile import ADDRESSES, PER_UNIT, Frame, Refusal, Request, SerialPoint, SerialProfile, Step


def request_bytes(request: Request, unit: int | None) -> bytes:
    """The bytes that ask the device `unit`."""
    asked = bytes.fromhex(request.send_hex) or _addressed(request.send, unit).encode("latin-1")
    return asked + CHECKSUMS[request.check].digits(asked) + request.end.encode("latin-1")


def step_bytes(step: Step, unit: int | None) -> bytes:
    """The bytes of a step."""
    return bytes.fromhex(step.send_hex) or _addressed(step.send, unit).encode("latin-1")


@lru_cache(maxsize=256)
def pattern(text: str, unit: int | None) -> re.Pattern[bytes]:
    """A pattern of a profile over bytes. Without a unit it fits every address."""
    address = "[0-9A-Za-z]" if unit is None else ADDRESSES[unit]
    return re.compile(text.replace(PER_UNIT, address).encode("latin-1"), re.DOTALL)


def answers(request: Request, unit: int | None, frame: bytes) -> bool:
    """Is this whole frame the answer to `request`?"""
    return not request.reply or pattern(request.reply, unit).match(frame) is not None


def refusal(keys: Frame, unit: int | None, frame: bytes) -> Refusal | None:
    """Which refusal a whole frame is; None where it is none."""
    return next((one for one in keys.refusals if pattern(one.reply, unit).match(frame)), None)


def requests_of(profile: SerialProfile, points: Sequence[SerialPoint]) -> list[tuple[Request, list[SerialPoint]]]:
    """The requests that bring `points`, in the order of the profile, each with its points."""
    pairs = ((request, [p for p in points if p.request == request.name]) for request in profile.request)
    return [(request, its) for request, its in pairs if its]


def _addressed(text: str, unit: int | None) -> str:
    return text if unit is None else text.replace(PER_UNIT, ADDRESSES[unit])
