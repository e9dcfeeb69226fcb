"""One instrument that is listened to: its bytes as frames, its frames as news. Pure.

Promises: a reading has the time when its frame was complete; silence is told apart from rubbish.
Must not know: ports, tasks, clocks.
"""

from collections.abc import Iterable

from drivers.errors import BadReply, NoReply
from drivers.serial.fields import FieldReader
from drivers.serial.framing import Burst, Framer
from drivers.serial.newest import NS_PER_S, Newest
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile
from drivers.serial.warm_up import WarmUp


class Instrument:
    """What is heard on the link, with the eyes of one profile."""

    def __init__(self, profile: SerialProfile, options: SerialOptions, started_ns: int) -> None:
        self.profile = profile
        self.framer = Framer(profile.frame)
        self._fields = FieldReader(profile)
        self.newest = Newest(started_ns, options.timeout_s)
        self._max_pause_ns = round((profile.frame.max_pause_s or 0) * NS_PER_S)
        self._burst = Burst(profile.frame)
        self._warm_up = WarmUp(profile, options)
        self._last_ns = started_ns
        self.bytes = 0
        self.frames = 0

    @property
    def bad_frames(self) -> int:
        """How many frames were broken since the start."""
        return self.framer.bad_frames + self._burst.bad_frames

    @property
    def problem(self) -> str:
        """What was wrong with the last broken frame."""
        return self._burst.problem or self.framer.problem

    @property
    def waits_for_a_pause(self) -> bool:
        """Must it be told of the pause that ends what came?"""
        return self._burst.waits

    def hear(self, data: bytes, mono_ns: int) -> None:
        """Take in bytes that arrived at `mono_ns`, after a pause or without one. No bytes: the pause is over."""
        if not data:
            self._end_burst()
            return
        if self._max_pause_ns and mono_ns - self._last_ns > self._max_pause_ns:
            self._end_burst()
            self._take(self.framer.silence(), self._last_ns)
        self.bytes += len(data)
        self._last_ns = mono_ns
        if self.profile.frame.alone:
            self._burst.hear(data)
        else:
            self._take(self.framer.feed(data), mono_ns)

    def _end_burst(self) -> None:
        self._take(self._burst.end(), self._last_ns)

    def _take(self, frames: Iterable[bytes], mono_ns: int) -> None:
        for frame in frames:
            self.frames += 1
            self.newest.hear(self._warm_up.judged(self._fields.read(frame), mono_ns), mono_ns)


class Silence:
    """Remembers what had come when a read began, to say what was wrong where it ends without readings."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bytes = instrument.bytes
        self._frames = instrument.frames
        self._bad_frames = instrument.bad_frames

    def error(self, options: SerialOptions) -> NoReply | BadReply:
        now = self._instrument
        where = f"{options.endpoint}, within {options.timeout_s:g} s"
        if now.frames > self._frames:
            return NoReply(f"{where}: frames come, but none has a value for {now.profile.model}; check the profile")
        if now.bad_frames > self._bad_frames:
            return BadReply(f"{where}: {now.problem}; check baud, parity and the profile")
        if now.bytes > self._bytes:
            what = f"{now.bytes - self._bytes} bytes came, no frame"
            return BadReply(f"{where}: {what}; check baud, parity and the profile")
        return NoReply(f"{where}: nothing came; is the instrument on, and does it send by itself?")
