"""Values are reproducible, plausible, within their range, and they move."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.values import Flag, Limits, band, is_counter, waveform
from simulators.values.courses import course, mains_of


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


HOUR_S = 3_600.0
EVERY_COURSE = [
    ("Cel", "air_temperature"), ("%", "humidity"), ("%", "load"), ("%", "battery_charge"), ("lx", "illuminance"),
    ("W", "power"), ("V", "voltage"), ("Hz", "frequency"), ("hPa", "pressure"), ("[ppm]", "co2"), ("dB", "noise"),
    ("m/s", "wind_speed"), ("mm/h", "rain_intensity"), ("m", "water_level"), ("1", "vehicles"), ("furlong", "what"),
]  # fmt: skip


def _mean(unit: str, name: str, hour: float) -> float:
    """Over ten minutes around an hour of the day, of five devices."""
    waves = [waveform(seed, "d", Quantity(name, unit), start_s=hour * HOUR_S - 300) for seed in range(5)]
    values = [float(wave(float(second))) for wave in waves for second in range(0, 600, 7)]
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("unit", "name", "high", "low"),
    [
        ("Cel", "air_temperature", 14, 5),
        ("%", "humidity", 5, 14),
        ("lx", "illuminance", 12, 0),
        ("W/m2", "solar_radiation", 12, 0),
        ("W", "power", 19, 3),
        ("V", "voltage", 3, 19),
        ("[ppm]", "co2", 15, 4),
        ("dB", "noise", 7, 3),
        ("1", "vehicles", 17, 3),
        ("m/s", "wind_speed", 14, 5),
        ("hPa", "pressure", 10, 4),
    ],
)
def test_values_follow_the_hour_of_the_day(unit: str, name: str, high: int, low: int) -> None:
    assert _mean(unit, name, high) > _mean(unit, name, low)


def test_it_is_bright_at_noon_and_dark_at_midnight_and_even_that_moves() -> None:
    assert _mean("lx", "illuminance", 12) > 20_000
    night = [waveform(1, "d", Quantity("illuminance", "lx"))(float(second)) for second in range(60)]
    assert all(float(value) < 100 for value in night)
    assert len(set(night)) == 60


@pytest.mark.parametrize(("unit", "name"), EVERY_COURSE)
@given(seed=SEEDS, start_s=st.floats(0, 86_400), elapsed_s=TIMES)
def test_no_course_leaves_its_band(unit: str, name: str, seed: int, start_s: float, elapsed_s: float) -> None:
    level, ripple = course(unit, name, Random(seed), start_s, mains_of(seed, "d")).at(elapsed_s)
    assert ripple >= 0
    assert level - ripple >= -1e-9
    assert level + ripple <= 1 + 1e-9


def test_water_is_high_twice_in_a_lunar_day() -> None:
    wave = waveform(4, "d", Quantity("water_level", "m"))
    hours = [
        sum(float(wave(hour * HOUR_S + second)) for second in range(0, 600, 5)) / 120
        for hour in range(round(10 * 24.84))
    ]
    crests = [i for i in range(1, len(hours) - 1) if hours[i - 1] < hours[i] >= hours[i + 1]]
    assert 18 <= len(crests) <= 22


def test_rain_comes_and_stops() -> None:
    values = [waveform(2, "d", Quantity("rain_intensity", "mm/h"))(float(second)) for second in range(0, 7_200, 10)]
    wet = [value for value in values if value]
    assert 0.1 < len(wet) / len(values) < 0.6
    assert max(map(float, wet)) > 10


def test_a_battery_goes_down_while_the_mains_are_out_and_all_points_of_a_device_agree() -> None:
    charge = waveform(1, "ups", Quantity("battery_charge", "%"))
    on_battery, on_line = waveform(1, "ups", Flag("on_battery")), waveform(1, "ups", Flag("on_line"))
    outages: list[list[float]] = [[]]
    for second in map(float, range(0, 3_600, 5)):
        assert on_battery(second) is not on_line(second)
        if on_battery(second):
            outages[-1].append(float(charge(second)))
        elif outages[-1]:
            outages.append([])
    assert len(outages) > 3
    for outage in outages[:-1]:
        assert outage[0] > 90
        assert outage[-1] < 50
    assert charge(0.0) > 90  # type: ignore[operator]


@pytest.mark.parametrize("capacity", [(0.0, 100.0), (0.0, 65_535.0), (-32_768.0, 32_767.0), (0.0, 2.0**64)])
def test_counters_never_begin_anew_and_are_never_full(capacity: Limits) -> None:
    counter = waveform(1, "d", Quantity("energy_total", "kW.h"), capacity)
    seen = [float(counter(day * 86_400.0)) for day in range(0, 3_650, 10)]
    assert seen == sorted(seen)
    assert seen[-1] < capacity[1]
    assert len({counter(float(second)) for second in range(600)}) == 600
