"""One instrument that is listened to: its bytes as frames, its frames as news. Pure.

Promises: a reading has the time when its frame was complete; silence is told apart from rubbish.
Must not know: ports, tasks, clocks.
"""

from drivers.errors import BadReply, NoReply
from drivers.serial.fields import FieldReader
from drivers.serial.framing import Framer
from drivers.serial.newest import Newest
from drivers.serial.options import SerialOptions, SerialProfile


class Instrument:
    """What is heard on the link, with the eyes of one profile."""

    def __init__(self, profile: SerialProfile, patience_s: float, started_ns: int) -> None:
        self.profile = profile
        self.framer = Framer(profile.frame)
        self._fields = FieldReader(profile)
        self.newest = Newest(started_ns, patience_s)
        self.bytes = 0
        self.frames = 0

    def hear(self, data: bytes, mono_ns: int) -> None:
        self.bytes += len(data)
        for frame in self.framer.feed(data):
            self.frames += 1
            self.newest.hear(self._fields.read(frame), mono_ns)


class Silence:
    """Remembers what had come when a read began, to say what was wrong where it ends without readings."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bytes = instrument.bytes
        self._frames = instrument.frames
        self._bad_frames = instrument.framer.bad_frames

    def error(self, options: SerialOptions) -> NoReply | BadReply:
        now = self._instrument
        where = f"{options.endpoint}, within {options.timeout_s:g} s"
        if now.frames > self._frames:
            return NoReply(f"{where}: frames come, but none has a value for {now.profile.model}; check the profile")
        if now.framer.bad_frames > self._bad_frames:
            return BadReply(f"{where}: {now.framer.problem}; check baud, parity and the profile")
        if now.bytes > self._bytes:
            what = f"{now.bytes - self._bytes} bytes came, no frame"
            return BadReply(f"{where}: {what}; check baud, parity and the profile")
        return NoReply(f"{where}: nothing came; is the instrument on, and does it send by itself?")
