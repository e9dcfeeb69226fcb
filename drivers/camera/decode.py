"""What bytes mean under a camera profile, for the technician with a capture in hand. Pure.

Promises: the same values as the running link gives, or an error. Must not know: ports, time.
"""

from drivers.api import Reading
from drivers.camera import pelco, vc0706, visca
from drivers.camera.asking_pelco import reading as pelco_reading
from drivers.camera.asking_visca import reading as visca_reading
from drivers.camera.options import CameraProfile
from drivers.errors import BadReply, DeviceRefused


def decode(profile: CameraProfile, request: bytes | None, response: bytes) -> list[Reading]:
    """What `response` says to `request`; its time is 0. Raises `BadReply` or `DeviceRefused`."""
    readers = {"visca": _visca, "pelco-d": _pelco, "vc0706": _vc0706}
    return readers[profile.protocol](profile, request, response)


def _visca(profile: CameraProfile, request: bytes | None, response: bytes) -> list[Reading]:
    wanted = [name for name, one in visca.INQUIRIES.items() if request and request[1:-1] == one.ask]
    for frame in visca.split(response)[0]:
        message = visca.understood(frame)
        if isinstance(message, visca.Refused):
            raise DeviceRefused(f"the camera refuses: {message.why}", message.code)
        if not isinstance(message, visca.Answer):
            continue
        for name in wanted:
            inquiry = visca.INQUIRIES[name]
            if len(message.data) in inquiry.lengths:
                raw = inquiry.read(message.data)
                points = [p for p in profile.point if visca.inquiry_for(p.source) == name]
                return [visca_reading(point, message, raw, 0) for point in points]
    if not wanted:
        raise BadReply("a VISCA answer does not say what was asked: give the request too")
    raise BadReply(f"{response.hex(' ').upper()} is no answer to this inquiry")


def _pelco(profile: CameraProfile, request: bytes | None, response: bytes) -> list[Reading]:
    unit = request[1] if request and len(request) == pelco.SIZE else response[1] if len(response) > 1 else 0
    why = ""
    for point in profile.point:
        if request is not None and request != pelco.query(unit, point.source):
            continue
        raw = pelco.answered(response, unit, point.source)
        if isinstance(raw, int):
            return [pelco_reading(point, raw, 0)]
        why = raw
    raise BadReply(why or "the request asks for no position")


def _vc0706(profile: CameraProfile, _request: bytes | None, response: bytes) -> list[Reading]:
    try:
        data = vc0706.payload(response, response[1] if len(response) > 1 else 0, vc0706.VERSION)
    except vc0706.NotUnderstood as err:
        raise BadReply(str(err)) from err
    return [Reading(point.name, data.decode("ascii", "replace").strip(), 0) for point in profile.point]
