"""What was seen of one device, and of one link with all its devices: what a diagnosis is made of. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from agent.cli.doctor.devices.exchanges import Exchange
from agent.cli.doctor.devices.shapes import Framing, Shape, heard_as

SLOW_S = 0.03
"""An adapter hands on what came every 16 ms (FTDI's latency timer): so much is no fault of the line."""


_TRICKLE = 4
"""A single answer in so many pieces says as much as two answers."""


class Observation(msgspec.Struct, kw_only=True):
    """What one device did when it was asked.

    `shapes` counts what came back. `late_s` is when the latest answer began that came too late, in seconds, where
    `timeout_s` is how long one may take; `late_bytes`: only that bytes came late on its link is known; `slow`: most
    answers took much longer than their bytes need. `total` counts values, of which some are implausible, refused or
    faulty by name; `valueless`: messages came, and no value in them. `still_s`: so long all its measurements have been
    the same. `not_asked`: there was no time.
    """

    device: str
    unit: int | None = None
    timeout_s: float = 0.0
    shapes: Counter[Shape] = msgspec.field(default_factory=Counter)
    codes: Sequence[int] = ()
    other_units: Sequence[int] = ()
    echoes: int = 0
    noises: int = 0
    late_s: float = 0.0
    late_bytes: bool = False
    slow: bool = False
    example: str = ""
    total: int = 0
    implausible: Sequence[str] = ()
    refused: Sequence[str] = ()
    faulty: Sequence[str] = ()
    mismatch: str = ""
    valueless: bool = False
    still_s: float = 0.0
    not_asked: bool = False

    @property
    def answers(self) -> int:
        """How often it was understood; a refusal is an answer too."""
        return self.shapes["answer"] + self.shapes["refusal"]

    @property
    def failures(self) -> int:
        return self.shapes.total() - self.answers

    @property
    def worst(self) -> Shape:
        """The shape that most of its failures have; of as many, the one that says more than silence."""
        failed = {shape: count for shape, count in self.shapes.items() if shape not in ("answer", "refusal") and count}
        return max(failed, key=lambda shape: (failed[shape], shape != "nothing"), default="answer")


class LinkSeen(msgspec.Struct, kw_only=True):
    """One link. `trouble` is a code of `FAULTS` where it cannot be opened, or was lost; `detail` the reason in words.

    `told` where the running agent says so, and nothing was asked by ourselves.
    """

    link: str
    endpoint: str
    serial: bool
    framing: Framing
    devices: Sequence[Observation] = ()
    trouble: str = ""
    detail: str = ""
    unasked: int = 0
    told: bool = False


def observed(found: Observation, exchanges: Iterable[Exchange], framing: Framing, char_s: float) -> Observation:
    """`found` with what the exchanges with its device show. `char_s` is how long a byte is on the wire."""
    codes, units, slow, pieces = set(), set(), [], 0
    for one in exchanges:
        heard = heard_as(one.asked, one.heard, framing)
        found.shapes[heard.shape] += 1
        found.echoes += heard.echo
        found.noises += heard.noise
        if heard.code:
            codes.add(heard.code)
        if heard.unit:
            units.add(heard.unit)
        if heard.shape in ("answer", "refusal"):
            if one.began_s > found.timeout_s:
                found.late_s = max(found.late_s, one.began_s)
        elif one.pieces:
            found.example = found.example or one.heard[:24].hex(" ").upper()
        if heard.shape in ("answer", "refusal", "short"):
            pieces += len(one.pieces)
            slow.append(one.lasted_s / (SLOW_S + 2 * char_s * len(one.heard)))
    found.codes, found.other_units = sorted(codes), sorted(units)
    found.slow = (len(slow) > 1 or pieces >= _TRICKLE) and median(slow) > 1
    return found
