"""Takes out of exchanges what could tell whose device it is, and makes their checksums right again. Pure.

Promises: what a profile does not name is not kept: it could be anything. What cannot be redacted is left out. Every
change has a note. Must not know: files, ports.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from agent.cli.capture.pseudonyms import COORDINATES, Pseudonyms, identifies
from agent.cli.capture.recording import Exchange, rtu
from drivers.errors import BadReply
from drivers.modbus import codec
from drivers.modbus.framing import rtu_replies
from drivers.modbus.pdu import FUNCTIONS
from drivers.modbus.profile import BIT_TABLES, ModbusPoint, ModbusProfile, Table
from drivers.profile import Profile
from drivers.serial.binary import width
from drivers.serial.decode import decode
from drivers.serial.framing import Framer, on_the_wire, with_checksum
from drivers.serial.profile import ADDRESSES, SerialProfile, Step
from drivers.serial.requests import pattern, step_bytes

_TABLES: dict[int, Table] = {function: table for table, function in FUNCTIONS.items()}


STEP_BYTES = 16
"""An acknowledgement is not longer; more may be a name."""


class Redaction:
    """Redacts the exchanges of one device. `notes` count what was done, in words."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._pseudonyms = Pseudonyms()
        self.notes: Counter[str] = Counter()

    def redacted(self, exchange: Exchange) -> Exchange | None:
        """The exchange without what could identify; None where it must be left out."""
        if isinstance(self._profile, ModbusProfile):
            return self._modbus(self._profile, exchange)
        if isinstance(self._profile, SerialProfile):
            step = step_of(self._profile, exchange.request)
            return self._step(step, exchange) if step else self._serial(self._profile, exchange)
        if any(identifies(point, self._profile) for point in self._profile.point):
            self._leave_out("answers of a camera with a name or number")
            return None
        return exchange

    def _leave_out(self, what: str) -> None:
        self.notes[f"left out: {what}"] += 1

    def _modbus(self, profile: ModbusProfile, exchange: Exchange) -> Exchange | None:
        request = exchange.request or b""
        table = _TABLES.get(request[1]) if len(request) == 8 else None
        if table is None:
            self._leave_out("identification of the device (function 43), and what is no read")
            return None
        replies = rtu_replies(exchange.response)
        if len(replies) != 1:
            self._leave_out("answers that are not one whole frame")
            return None
        unit, pdu = replies[0]
        if pdu[0] & 0x80 or table in BIT_TABLES:
            return Exchange(request, rtu(unit, pdu))
        words = [int.from_bytes(pdu[at : at + 2], "big") for at in range(2, len(pdu), 2)]
        address = int.from_bytes(request[2:4], "big")
        words = self._words(profile, table, address, words)
        data = b"".join(word.to_bytes(2, "big") for word in words)
        return Exchange(request, rtu(unit, pdu[:2] + data))

    def _words(self, profile: ModbusProfile, table: Table, address: int, words: list[int]) -> list[int]:
        """Named words as they are, or under a pseudonym; what no point names is 0."""
        kept = [0] * len(words)
        named: set[int] = set()
        inside = [p for p in profile.point if p.table == table and 0 <= p.address - address <= len(words) - p.registers]
        for point in sorted(inside, key=lambda one: identifies(one, profile)):
            at = point.address - address
            own = words[at : at + point.registers]
            named |= {*range(at, at + point.registers)}
            kept[at : at + point.registers] = self._pseudonym(profile, point, own)
        if any(word for at, word in enumerate(words) if at not in named):
            self.notes["set to 0: registers that the profile does not name"] += 1
        return kept

    def _pseudonym(self, profile: ModbusProfile, point: ModbusPoint, words: Sequence[int]) -> Sequence[int]:
        if not identifies(point, profile) or not any(words):
            return words
        self.notes[f"replaced: {point.name}"] += 1
        try:
            return codec.encode(profile, point, self._pseudonyms.value(point, (point.type, *words)))
        except ValueError:
            return [0] * len(words)

    def _step(self, step: Step, exchange: Exchange) -> Exchange | None:
        answer = exchange.response
        if len(answer) <= STEP_BYTES and (not answer or (step.expect and pattern(step.expect, None).search(answer))):
            return exchange
        self._leave_out("answers to steps that are longer than an acknowledgement")
        return None

    def _serial(self, profile: SerialProfile, exchange: Exchange) -> Exchange | None:
        frames = Framer(profile.frame).feed(exchange.response)
        if not frames:
            self._leave_out("what is no whole frame of the profile")
            return None
        kept = [one for frame in frames if (one := self._frame(profile, exchange.request, frame)) is not None]
        if not kept:
            return None
        at = exchange.response.find(on_the_wire(profile.frame, frames[0]))
        acknowledged = exchange.response[:at] if at == 1 else b""
        return Exchange(exchange.request, acknowledged + b"".join(on_the_wire(profile.frame, one) for one in kept))

    def _frame(self, profile: SerialProfile, request: bytes | None, frame: bytes) -> bytes | None:
        if not _understood(profile, request, frame):
            self._leave_out("frames of which the profile has no point")
            return None
        if hidden := [point for point in profile.point if point.pattern and identifies(point, profile)]:
            self._leave_out(f"frames, because {hidden[0].name} stands anywhere in them")
            return None
        changed = self._line(profile, frame) if profile.frame.is_text else self._binary(profile, request, frame)
        return frame if changed == frame else with_checksum(profile.frame, changed)

    def _line(self, profile: SerialProfile, frame: bytes) -> bytes:
        changed = COORDINATES.sub(lambda found: _zeros(found[0]), frame)
        if changed != frame:
            self.notes["set to 0: latitude and longitude"] += 1
        separator = profile.frame.separator.encode("latin-1")
        fields = changed.split(separator)
        for point in (one for one in profile.point if identifies(one, profile)):
            for place in point.places:
                talks = not place.sentence or place.sentence.encode() in fields[0]
                if place.field is not None and talks and place.field < len(fields):
                    field = fields[place.field]
                    fields[place.field] = _zeros(field)
                    self.notes[f"set to 0: {point.name}"] += field != fields[place.field]
        return separator.join(fields)

    def _binary(self, profile: SerialProfile, request: bytes | None, frame: bytes) -> bytes:
        """Named bytes as they are; what no point names is 0, unless the frame would not be understood any more."""
        changed = bytearray(frame)
        named: set[int] = set()
        for point in (one for one in profile.point if one.at is not None):
            place = slice(point.at, (point.at or 0) + width(point))
            named |= {*range(len(frame))[place]}
            if identifies(point, profile) and any(frame[place]):
                self.notes[f"set to 0: {point.name}"] += 1
                changed[place] = bytes(len(frame[place]))
        plain = bytes(changed)
        first = len(bytes.fromhex(profile.frame.header))
        for at in range(first, len(frame) - profile.frame.checked.tail):
            if at not in named:
                changed[at] = 0
        mended = with_checksum(profile.frame, bytes(changed))
        same = with_checksum(profile.frame, plain)
        if _understood(profile, request, mended) != _understood(profile, request, same):
            return plain
        if mended != same:
            self.notes["set to 0: bytes that the profile does not name"] += 1
        return mended


def step_of(profile: SerialProfile, request: bytes | None) -> Step | None:
    """The step of the profile that says these bytes, to whatever unit; None where it is none."""
    duty = (*profile.duty.wake, *profile.duty.sleep) if profile.duty else ()
    steps = (*profile.settings, *duty, *(step for one in profile.request for step in one.before))
    units = range(len(ADDRESSES)) if profile.has_address else (0,)
    return next((step for step in steps if request in {step_bytes(step, unit) for unit in units}), None)


def _understood(profile: SerialProfile, request: bytes | None, frame: bytes) -> Mapping[str, object]:
    """The values of a frame; none where it is not understood."""
    try:
        found = decode(profile, request, on_the_wire(profile.frame, frame))
    except BadReply:
        return {}
    return {one.point: (one.value, str(one.quality)) for one in found}


def _zeros(text: bytes) -> bytes:
    return bytes(0x30 if 0x30 <= one <= 0x39 else 0x58 if chr(one).isalpha() else one for one in text)
