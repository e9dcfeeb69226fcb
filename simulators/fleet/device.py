"""What a simulated gateway reads: a counter that goes up by exactly 1 with each reading, and waveforms. Pure."""

from collections.abc import Sequence

from simulators.fleet.payloads import Point, Value
from simulators.values import Quantity, waveform

DEVICE = "sim-01"
COUNTER = "count"
MAX_POINTS = 500
_QUANTITIES = (
    ("temperature", "Cel"),
    ("humidity", "%"),
    ("pm2_5", "ug/m3"),
    ("noise", "dB"),
    ("wind", "m/s"),
    ("voltage", "V"),
    ("current", "A"),
    ("level", "m"),
    ("pressure", "hPa"),
)


class _Measured:
    """A quantity that has a usual band, and no more to say."""

    range = None
    enum: dict[str, str] = {}  # noqa: RUF012 # never changed
    wire_type = "f32"

    def __init__(self, name: str, unit: str) -> None:
        self.name = name
        self.unit = unit


class Device:
    """The one device of a gateway; the same seed, gateway and time give the same values."""

    def __init__(self, seed: int, gateway: str, points: int) -> None:
        self.count = 0
        quantities: list[Quantity] = [_quantity(number) for number in range(points - 1)]
        self._waves = [(one.name, waveform(seed, f"{gateway}/{DEVICE}", one)) for one in quantities]

    def read(self, elapsed_s: float) -> dict[str, Value]:
        """The next reading."""
        self.count += 1
        return {COUNTER: self.count} | {name: _rounded(wave(elapsed_s)) for name, wave in self._waves}


def points_of(points: int, interval_ms: int) -> Sequence[Point]:
    """What the birth says of the device."""
    measured = [_quantity(number) for number in range(points - 1)]
    counter = Point(COUNTER, "i64", "1", interval_ms)
    return [counter, *(Point(one.name, "f64", one.unit, interval_ms) for one in measured)]


def _quantity(number: int) -> _Measured:
    """The first nine by their name alone, those after them with a number."""
    turn, place = divmod(number, len(_QUANTITIES))
    name, unit = _QUANTITIES[place]
    return _Measured(f"{name}_{turn + 1}" if turn else name, unit)


def _rounded(value: Value) -> Value:
    return round(value, 2) if isinstance(value, float) else value
