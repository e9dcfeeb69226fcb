"""Scenario files: what they say, what is left out, and every mistake at once with its line."""

import sys
from pathlib import Path
from typing import Any

import pytest

from drivers.tomltext import toml_text
from simulators.problems import SiteError
from simulators.scenario.placeholders import Places
from simulators.scenario.reading import read_scenario
from simulators.scenario.shipped import scenario_file, scenario_names
from simulators.site.reading import load_site

HEAD = """\
[scenario]
name = "A test"
seconds = 20
"""
SITE = """\
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
tcp_port = "{port:ups}"
[[device]]
name = "meter-1"
link = "bus-1"
unit = 1
profile = "eastron/sdm120"
[[device]]
name = "ups-1"
link = "ups"
unit = 1
profile = "apc/smart-ups"
points = ["input_voltage", "battery_charge"]
deadband = { battery_charge = 1.0 }
interval_s = 1.0
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "scenario.toml"
    file.write_text(text, encoding="utf-8")
    return file


def places(folder: Path) -> Places:
    ports = iter(range(40_001, 40_100))
    return Places(folder, folder / "data", folder / "run", broker_port=41_883, take_port=lambda: next(ports))


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SiteError) as caught:
        read_scenario(write(folder, text), places(folder))
    return [str(one) for one in caught.value.problems]


def line_of(text: str, what: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if what in line)


def test_a_scenario_has_devices_addresses_and_what_is_always_expected(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, HEAD + SITE), places(tmp_path))
    assert scenario.addresses == {"bus-1": f"{tmp_path}/ports/bus-1", "ups": "127.0.0.1:40001"}
    assert [device.name for device in scenario.site.devices] == ["meter-1", "ups-1"]
    assert [one.that for one in scenario.expect] == ["nothing_wrong", "runs"]
    ups = scenario.devices["ups-1"]
    assert (ups.link, ups.points, ups.interval_s, ups.asked) == ("ups", {"input_voltage"}, 1.0, True)


def test_what_is_always_expected_can_be_switched_off_or_written_with_keys(tmp_path: Path) -> None:
    off = HEAD + "nothing_wrong = false\nruns = false\n" + SITE
    assert read_scenario(write(tmp_path, off), places(tmp_path)).expect == ()
    own = HEAD + SITE + '[[expect]]\nthat = "nothing_wrong"\nclose_s = 1.5\n'
    (runs, wrong) = read_scenario(write(tmp_path, own), places(tmp_path)).expect
    assert (runs.that, wrong.that, wrong.close_s) == ("runs", "nothing_wrong", 1.5)  # type: ignore[attr-defined]


def test_the_agent_file_of_a_scenario_is_one_that_the_agent_can_read(tmp_path: Path) -> None:
    text = HEAD + SITE + "[agent.outbox]\nmax_bytes = 20000000\n[agent.uplink]\nkeepalive_s = 5\n"
    scenario = read_scenario(write(tmp_path, text), places(tmp_path))
    file = tmp_path / "agent.toml"
    file.write_text(toml_text(scenario.agent), encoding="utf-8")
    site = load_site(file)
    assert [link.options.endpoint for link in site.links] == [f"{tmp_path}/ports/bus-1", "tcp://127.0.0.1:40001"]
    agent: Any = scenario.agent
    assert agent["uplink"] == {"host": "127.0.0.1", "port": 41_883, "protocol": "5", "tls": False, "keepalive_s": 5}
    assert agent["outbox"] == {"max_bytes": 20_000_000}
    assert agent["gateway"]["data_dir"] == str(tmp_path / "data")
    assert agent["device"][1]["deadband"] == {"battery_charge": 1.0}


def test_the_devices_of_a_real_site_move_to_this_machine(tmp_path: Path) -> None:
    real = SITE.replace('transport = "rtu"', 'transport = "rtu"\nport = "/dev/ttyUSB0"\nrs485 = { rts_on_send = true }')
    real = real.replace('tcp_port = "{port:ups}"', 'host = "192.0.2.10"\ntcp_port = 502')
    (tmp_path / "agent.toml").write_text('[gateway]\nid = "gw-1"\n' + real, encoding="utf-8")
    scenario = read_scenario(write(tmp_path, 'site = "agent.toml"\n' + HEAD), places(tmp_path))
    assert scenario.addresses == {"bus-1": f"{tmp_path}/ports/bus-1", "ups": "127.0.0.1:40001"}
    agent: Any = scenario.agent
    assert agent["gateway"]["id"] == "scenario"
    assert "rs485" not in agent["link"][0]


def test_a_fault_is_where_it_says_and_one_of_the_uplink_or_host_needs_not_say_it(tmp_path: Path) -> None:
    faults = [
        'name = "no_reply"\non = "meter-1"\nfrom_s = 5\nfor_s = 10',
        'name = "unplug"\non = "bus-1"\nfrom_s = 5\nfor_s = 1',
        'name = "broker_kill"\nfrom_s = 5\nfor_s = 1',
        'name = "stall"\non = "uplink"\nfrom_s = 5\nfor_s = 1',
        'name = "sigkill"\nfrom_s = 5\nfor_s = 1',
    ]
    text = HEAD + SITE + "".join(f"[[fault]]\n{one}\n" for one in faults)
    scenario = read_scenario(write(tmp_path, text), places(tmp_path))
    assert [str(one) for one in scenario.on("site")] == ["no_reply on meter-1", "unplug on bus-1"]
    assert [str(one) for one in scenario.on("uplink")] == ["broker_kill on uplink", "stall on uplink"]
    assert [str(one) for one in scenario.on("host")] == ["sigkill on host"]


WRONG = [
    ('[[fault]]\nname = "no_replay"\n', "no_replay", "did you mean no_reply"),
    ('[[fault]]\nname = "no_reply"\non = "meter-9"\n', "meter-9", "write one of bus-1, ups, meter-1, ups-1"),
    ('[[fault]]\nname = "no_reply"\non = "uplink"\n', '"no_reply"', "cannot happen on"),
    ('[[fault]]\nname = "wrong_crc"\non = "ups-1"\n', '"wrong_crc"', "which speaks tcp"),
    ('[[fault]]\nname = "reset"\non = "bus-1"\n', '"reset"', "cannot happen on"),
    ('[[fault]]\nname = "late"\nmax_s = -1\n', "max_s", "write a number"),
    ('[[expect]]\nthat = "nothing_mising"\n', "nothing_mising", "did you mean nothing_missing"),
    ('[[expect]]\nname = "x"\n', "[[expect]]", "write one of nothing_missing"),
    ('[[expect]]\nthat = "interval"\n', "[[expect]]", "add `at_most_s"),
    ('[[expect]]\nthat = "interval"\nat_most_s = 2\ndevice = "meter-7"\n', "meter-7", "known: meter-1, ups-1"),
    ('[[expect]]\nthat = "quality"\nquality = "bad"\n', '"bad"', "write one of good, cal"),
    ('[[expect]]\nthat = "quality"\nquality = "com"\nfrom_s = 5\nto_s = 9\n', "to_s = 9", "shorter `within_s`"),
    ('[[expect]]\nthat = "polled"\n', '"polled"', "add one of at_most_s, at_most_per_s"),
    ('[[expect]]\nthat = "output"\ntext = "("\n', 'text = "("', "no regular expression"),
    ('[[expect]]\nthat = "lost"\nfrom_s = 30\n', "from_s = 30", "the gateway is stopped at 23 s"),
    ('[[expect]]\nthat = "recovers"\nwithin_s = 5\nfault = "unplugged"\n', "unplugged", "--list-faults"),
    ('[[set]]\nat_s = 1\npoint = "meter-1.volts"\nvalue = 1\n', "meter-1.volts", 'no point "meter-1.volts"'),
    ('[values]\nfile = "no.csv"\n', "no.csv", "there is no file"),
    ('[[expect]]\nthat = "value"\npoint = "voltage"\n', '"value"', "add one of equals, at_least, at_most"),
    ('[[scenarios]]\n', "[scenario]", "is not a known key"),
    ('[broker]\ntls = "self_signed"\n', '"self_signed"', "invalid enum value"),
    ('[[do]]\nat_s = 3\n', "[[do]]", "run"),
    ('[arrives]\ntopic = "a/b"\nvalue = "/v"\n', "[arrives]", "nothing says the device"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), WRONG, ids=lambda one: one if len(one) < 20 else "")
def test_a_mistake_is_told_with_its_line_and_what_to_write(tmp_path: Path, text: str, place: str, words: str) -> None:
    whole = HEAD + SITE + text
    (found,) = problems(tmp_path, whole)
    assert words in found
    assert f"scenario.toml:{line_of(whole, place)}: " in found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    whole = (
        HEAD.replace("seconds = 20\n", "")
        + SITE.replace("apc/smart-ups", "apc/smart")
        + "".join(text for text, _, _ in WRONG if text.startswith("[["))
    )
    found = problems(tmp_path, whole)
    assert len(found) >= sum(text.startswith("[[") for text, _, _ in WRONG)
    assert any("scenario.seconds: is missing" in one for one in found)
    assert any('there is no profile "apc/smart"' in one for one in found)


def test_what_only_the_contract_tells_is_not_expected_of_others(tmp_path: Path) -> None:
    arrives = '[arrives]\ntopic = "t/{device}/{point}"\n'
    wants = [
        '[[expect]]\nthat = "event"\nname = "device.down"\n', '[[expect]]\nthat = "latency"\np95_s = 1\n',
        '[[expect]]\nthat = "quality"\nquality = "com"\n', '[[fault]]\nname = "ioc_kill"\n',
    ]  # fmt: skip
    found = problems(tmp_path, HEAD + SITE + arrives + "".join(wants))
    assert [any(word in one for one in found) for word in ("event needs", "latency needs", "quality", "ioc_kill")]
    assert len(found) == len(wants)


def test_speed_and_seconds_divide_all_times_of_the_timeline_and_the_seed_can_be_replaced(tmp_path: Path) -> None:
    text = HEAD + SITE + '[[fault]]\nname = "stall"\non = "uplink"\nfrom_s = 10\nfor_s = 4\n'
    text += '[[expect]]\nthat = "interval"\nat_most_s = 3\nfrom_s = 8\n'
    file = write(tmp_path, text)
    for keys in ({"speed": 2.0}, {"seconds": 10.0}):
        scenario = read_scenario(file, places(tmp_path), seed=99, **keys)  # type: ignore[arg-type]
        (fault,) = scenario.on("uplink")
        interval: Any = scenario.expect[-1]
        assert (scenario.keys.seconds, fault.from_s, fault.for_s, scenario.keys.seed) == (10, 5, 2, 99)
        assert (interval.from_s, interval.at_most_s) == (4, 3)


def test_short_is_what_the_file_calls_the_shortest(tmp_path: Path) -> None:
    text = HEAD.replace("seconds = 20", "seconds = 20\nshort_s = 5") + SITE
    text += '[[fault]]\nname = "stall"\non = "uplink"\nfrom_s = 10\nfor_s = 4\n[[do]]\nat_s = 8\nrun = "true"\n'
    scenario = read_scenario(write(tmp_path, text), places(tmp_path), short=True)
    (fault,), (doing,) = scenario.on("uplink"), scenario.do
    assert (scenario.keys.seconds, scenario.keys.length_s, fault.from_s, doing.at_s) == (5, 8, 2.5, 2)
    whole = read_scenario(write(tmp_path, HEAD + SITE), places(tmp_path), short=True)
    assert whole.keys.seconds == 20


def test_where_the_broker_speaks_tls_the_gateway_is_told_whom_to_trust(tmp_path: Path) -> None:
    here = places(tmp_path)
    here.ca_file = tmp_path / "ca.pem"
    agent: Any = read_scenario(write(tmp_path, HEAD + SITE), here).agent
    assert (agent["uplink"]["tls"], agent["uplink"]["ca_file"]) == (True, str(tmp_path / "ca.pem"))
    assert here.fill("{broker_url} {ca_file}") == f"mqtts://127.0.0.1:41883 {tmp_path}/ca.pem"
    assert here.environment()["OC_SIM_CA_FILE"] == str(tmp_path / "ca.pem")
    assert places(tmp_path).fill("{ca_file}|{python}") == f"|{sys.executable}"


def test_scenarios_that_are_shipped_can_be_read_and_found_by_name(tmp_path: Path) -> None:
    assert {"one-dead", "broker-outage"} <= set(scenario_names())
    for name in scenario_names():
        read_scenario(scenario_file(name), places(tmp_path))
    with pytest.raises(SiteError, match="one-dead"):
        scenario_file("one-ded")


def test_placeholders_are_filled_and_other_braces_stay(tmp_path: Path) -> None:
    here = places(tmp_path)
    here.addresses = {"ups": "127.0.0.1:40001"}
    text = '{"broker": "{broker_url}", "port": {broker_port}, "plc": "{address:ups}", "x": {"a": "{device}"}}'
    wanted = '{"broker": "mqtt://127.0.0.1:41883", "port": 41883, "plc": "127.0.0.1:40001", "x": {"a": "{device}"}}'
    assert here.fill(text) == wanted
    assert here.fill_all({"a": ["{port:x}", "p{port:x}"]}) == {"a": [40_001, "p40001"]}
    assert here.environment()["OC_SIM_CONFIG"] == str(tmp_path / "agent.toml")
