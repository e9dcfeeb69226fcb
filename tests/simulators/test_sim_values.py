"""Values are reproducible, plausible, within their range, and they move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.values import Flag, Limits, band, is_counter, waveform


class Quantity(Flag):
    """A number unless said otherwise."""

    def __init__(self, name: str, unit: str, span: Limits | None = None, **more: object) -> None:
        for key, value in {"name": name, "unit": unit, "range": span, "enum": {}, "wire_type": "f64", **more}.items():
            object.__setattr__(self, key, value)


NUMBERS = [Quantity("voltage", "V", (0, 500)), Quantity("wind_speed", "m/s"), Quantity("what", "furlong", (-3, -2))]
COUNTERS = [Quantity("energy_import", "kW.h"), Quantity("rain_total", "mm"), Quantity("output", "W.h", (0, 100))]
SEEDS = st.integers(0, 2**32)
TIMES = st.floats(0, 1e6)


@given(SEEDS, TIMES)
def test_the_same_seed_and_the_same_time_give_the_same_value(seed: int, elapsed_s: float) -> None:
    for point in (*NUMBERS, *COUNTERS):
        assert waveform(seed, "d", point)(elapsed_s) == waveform(seed, "d", point)(elapsed_s)


def test_another_seed_device_or_point_gives_another_value() -> None:
    point, other = Quantity("voltage", "V"), Quantity("voltage_l2", "V")
    values = {waveform(s, d, p)(10.0) for s in (1, 2) for d in ("a", "b") for p in (point, other)}
    assert len(values) == 8


@given(SEEDS, TIMES)
def test_values_stay_within_their_range(seed: int, elapsed_s: float) -> None:
    for point in (*NUMBERS, *COUNTERS):
        low, high = point.range or band(point)
        value = waveform(seed, "d", point)(elapsed_s)
        assert isinstance(value, float)
        if not is_counter(point):
            assert low <= value <= high
        elif point.range:
            assert value <= high


@given(SEEDS, st.integers(-300, 300), st.integers(1, 600))
def test_values_stay_within_what_the_wire_can_carry(seed: int, low: int, width: int) -> None:
    value = waveform(seed, "d", Quantity("level", "m"), (low, low + width))(12.3)
    assert isinstance(value, float)
    assert low <= value <= low + width


@pytest.mark.parametrize("point", COUNTERS, ids=lambda p: p.name)
@given(SEEDS, st.floats(0, 1e5), st.floats(0, 100))
def test_counters_never_go_down(point: Quantity, seed: int, start_s: float, more_s: float) -> None:
    counter = waveform(seed, "d", point)
    first, later = counter(start_s), counter(start_s + more_s)
    assert isinstance(first, float)
    assert isinstance(later, float)
    assert first <= later


@pytest.mark.parametrize("point", [*NUMBERS, *COUNTERS[:2]], ids=lambda p: p.name)
def test_values_move_from_one_second_to_the_next(point: Quantity) -> None:
    wave = waveform(3, "d", point)
    assert len({wave(float(second)) for second in range(60)}) == 60


def test_flags_rest_and_flip_once_in_a_while() -> None:
    on_line, alarm = waveform(1, "d", Flag("on_line")), waveform(1, "d", Flag("overload"))
    seconds = range(300)
    assert sum(on_line(float(s)) is True for s in seconds) > 200
    assert sum(alarm(float(s)) is True for s in seconds) in range(5, 100)


def test_names_of_an_enum_all_come() -> None:
    wave = waveform(1, "d", Quantity("mode", "1", enum={"0": "off", "1": "on", "2": "auto"}))
    assert {wave(float(s)) for s in range(2_000)} == {"off", "on", "auto"}
