"""What bytes mean under a serial profile, for the technician with a capture in hand. Pure.

Promises: the same values as the running link gives, or an error. Must not know: ports, time.
"""

from collections.abc import Sequence

from drivers.api import Quality, Reading
from drivers.errors import BadReply
from drivers.serial.fields import FieldReader
from drivers.serial.framing import Framer, whole_frames
from drivers.serial.newest import Newest, SerialPlan
from drivers.serial.profile import ADDRESSES, Request, SerialPoint, SerialProfile
from drivers.serial.requests import answers, refusal, request_bytes, requests_of


def decode(profile: SerialProfile, request: bytes | None, response: bytes) -> list[Reading]:
    """What the frames in `response` mean together; their time is 0.

    With `request`, the answer must be one to that request. Raises `BadReply` where there is no whole frame, no
    sentence of the profile, a refusal, or the instrument is warming up.
    """
    frames = _frames(profile, response)
    fields = FieldReader(profile)
    found = [one for frame in frames for one in fields.read(frame, _asked_points(profile, request, frame))]
    if not found:
        shown = frames[-1].decode("ascii", "replace") if profile.frame.is_text else frames[-1].hex(" ").upper()
        raise BadReply(f"{shown.strip()} is whole, but the profile {profile.model} has no point in it")
    if all(one.quality is Quality.WARMING_UP for one in found):
        raise BadReply("the instrument is warming up: all its values are zero, which is no measurement")
    newest = Newest(0, 0.0)
    newest.hear(found, 0)
    return newest.news(SerialPlan(profile, tuple({one.point.name: one.point for one in found}.values())), 0)


def _frames(profile: SerialProfile, response: bytes) -> list[bytes]:
    if profile.frame.alone:
        frames, problem = whole_frames(profile.frame, response)
    else:
        framer = Framer(profile.frame)
        frames = framer.feed(response) + framer.silence()
        problem = framer.problem
    if not frames:
        raise BadReply(problem or f"there is no whole frame in these {len(response)} bytes")
    return frames


def _asked_points(profile: SerialProfile, request: bytes | None, frame: bytes) -> Sequence[SerialPoint] | None:
    """The points of the request that `frame` answers; None: those of the sentence, since nothing is asked."""
    if not profile.is_asked:
        return None
    if refused := refusal(profile.frame, None, frame):
        raise BadReply(f"the instrument refuses: {refused.means}")
    asked = [(one, points) for one, points in requests_of(profile, profile.point) if _is_request(one, request)]
    if not asked and request is not None:
        raise BadReply(f"{request.hex(' ').upper()} is no request of the profile {profile.model}")
    return [point for one, points in asked if answers(one, None, frame) for point in points]


def _is_request(one: Request, request: bytes | None) -> bool:
    if request is None:
        return True
    return any(request_bytes(one, unit) == request for unit in range(len(ADDRESSES)))
