"""What bytes mean under a serial profile, for the technician with a capture in hand. Pure.

Promises: the same values as the running link gives, or an error. Must not know: ports, time.
"""

from drivers.api import Quality, Reading
from drivers.errors import BadReply
from drivers.serial.fields import FieldReader
from drivers.serial.framing import Framer
from drivers.serial.newest import Newest, SerialPlan
from drivers.serial.options import SerialProfile


def decode(profile: SerialProfile, _request: bytes | None, response: bytes) -> list[Reading]:
    """What the frames in `response` mean together; their time is 0.

    Raises `BadReply` where there is no whole frame, no sentence of the profile, or the instrument is warming up.
    """
    framer = Framer(profile.frame)
    frames = framer.feed(response) + framer.silence()
    if not frames:
        raise BadReply(framer.problem or f"there is no whole frame in these {len(response)} bytes")
    fields = FieldReader(profile)
    found = [one for frame in frames for one in fields.read(frame)]
    if not found:
        shown = frames[-1].decode("ascii", "replace").strip()
        raise BadReply(f"{shown} is whole, but the profile {profile.model} has no point in it")
    if all(one.quality is Quality.WARMING_UP for one in found):
        raise BadReply("the instrument is warming up: all its values are zero, which is no measurement")
    newest = Newest(0, 0.0)
    newest.hear(found, 0)
    return newest.news(SerialPlan(profile, profile.point), 0)
