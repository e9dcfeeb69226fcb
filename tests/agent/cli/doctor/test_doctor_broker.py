"""`oc-agent doctor` over every fault of the way to the broker, in both languages."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from agent_config import METER
from tls_lab import GATEWAY, PASSWORD, Faults, TlsLab, Uplink

from agent.cli import main
from agent.cli.doctor import broker as broker_checks
from agent.cli.doctor import login, visit
from agent.cli.doctor.finding import Finding
from agent.cli.doctor.running import as_it_says
from agent.cli.doctor.visit import Visit
from agent.cli.messages import set_language, translated
from agent.uplink.errors import UplinkDown
from agent.uplink.faults import FAULTS, Fault, filled
from agent.uplink.mqtt import MqttOptions, Will, connect
from agent.uplink.mqtt.tls import trial
from simulators.testing import Bench

CONFIG = (
    """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "run"
[site]
oc = "oc-haichau"
[uplink]
{uplink}
"""
    + METER
)
CONFIGURATION = {"file_missing", "file_unreadable"}
"""These are found before anything is tried, as `oc-agent check` does."""

STATUS, COMMAND = f"ocg/v1/{GATEWAY}/up/status", f"ocg/v1/{GATEWAY}/down/cmd"
IOC = json.dumps({"v": 1, "online": True, "ack": True, "time_ms": 99_000_000_000_000}).encode()
GROUPS = ("--only", "configuration", "--only", "broker")
Doctor = Callable[..., tuple[int, str]]


def write_config(folder: Path, uplink: Uplink) -> Path:
    lines = (f"{key} = {json.dumps(value)}" for key, value in uplink.items())
    path = folder / "agent.toml"
    path.write_text(CONFIG.format(uplink="\n".join(lines)), encoding="utf-8")
    return path


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> TlsLab:
    return TlsLab(bench, tmp_path)


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Doctor]:
    def run(uplink: Uplink, *arguments: str, lang: str = "en") -> tuple[int, str]:
        config = write_config(tmp_path, uplink)
        with pytest.raises(SystemExit) as caught:
            main(["--lang", lang, "--config", str(config), "doctor", *GROUPS, *arguments])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out + err

    yield run
    set_language("en")


def findings(text: str) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(text)["findings"]}


@pytest.mark.parametrize("name", Faults.names())
def test_each_fault_is_said_by_name_in_both_languages(
    lab: TlsLab, doctor: Doctor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = name.partition("__")[0]
    if not code.startswith("own_"):
        monkeypatch.setattr(trial, "ALERT_S", 0.2)
    with ExitStack() as stack:
        uplink = getattr(Faults(lab, stack), name)()
        exit_code, english = doctor(uplink, "--json")
        if code in CONFIGURATION:
            assert exit_code == 78
            assert "there is no file" in english
            return
        assert exit_code == 1
        failed = [finding for finding in json.loads(english)["findings"] if finding["code"]]
        assert [finding["code"] for finding in failed] == [code]
        exit_code, vietnamese = doctor(uplink, lang="vi")
        vietnamese = " ".join(vietnamese.split())  # as it was before it was wrapped
    assert exit_code == 1
    set_language("vi")
    what, advice = (translated(text) for text in FAULTS[code])
    assert filled(what.split("{")[0], {}) in vietnamese
    assert max(advice.split("{"), key=len).split("}")[-1] in vietnamese
    assert PASSWORD not in english + vietnamese
    assert "…" not in english + vietnamese


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For brokers that have nothing against us."""
    monkeypatch.setattr(trial, "ALERT_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_where_all_is_good_it_says_so_line_by_line(lab: TlsLab, doctor: Doctor) -> None:
    broker = lab.broker(lab.server, mutual=True)
    uplink = lab.trusting(broker.port) | lab.presenting(lab.own)
    exit_code, text = doctor(uplink, "--json")
    found = findings(text)
    assert exit_code == 0
    good = {"file", "name", "port", "own_certificate", "tls", "certificate", "login"}
    assert {check for check, finding in found.items() if finding["state"] == "ok"} >= good
    assert "TLSv1.3" in found["tls"]["what"]
    assert str(lab.city.certificate) in found["tls"]["what"]
    assert "City CA" in found["certificate"]["what"]
    assert found["publish"]["state"] == found["ioc"]["state"] == "warn"
    assert "nobody listens" in found["publish"]["what"]
    exit_code, text = doctor(uplink, lang="vi")
    assert exit_code == 0
    assert "được phép gửi" in text
    assert "login" not in findings(doctor(uplink, "--json", "--no-login")[1])


@pytest.mark.usefixtures("impatient")
def test_a_certificate_that_ends_soon_or_has_another_name_is_a_warning(lab: TlsLab, doctor: Doctor) -> None:
    own = lab.city.issue("another", days=12.5)
    broker = lab.broker(lab.city.issue("broker", names="IP:127.0.0.1", days=3.5))
    exit_code, text = doctor(lab.trusting(broker.port) | lab.presenting(own), "--json")
    found = findings(text)
    assert exit_code == 0
    assert {check: found[check]["state"] for check in ("own_certificate", "own_name", "certificate")} == {
        "own_certificate": "warn", "own_name": "warn", "certificate": "warn",
    }  # fmt: skip
    assert "12 days" in found["own_certificate"]["what"]
    assert "3 days" in found["certificate"]["what"]


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_forbids_to_publish_is_a_failure(lab: TlsLab, doctor: Doctor) -> None:
    broker = lab.broker(lab.server, acl=f"topic read ocg/v1/{GATEWAY}/up/status\n")
    exit_code, text = doctor(lab.trusting(broker.port), "--json")
    assert exit_code == 1
    assert "not_authorised (0x87)" in findings(text)["publish"]["what"]


@pytest.mark.usefixtures("impatient")
def test_rights_and_the_round_trip_are_told(lab: TlsLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """MQTT 3.1.1 answers a publication that it drops as one that it takes: nothing comes back."""
    monkeypatch.setattr(visit, "BACK_S", 0.5)
    broker = lab.broker(lab.server)
    found = findings(doctor(lab.trusting(broker.port), "--json")[1])
    assert found["subscribe"]["state"] == found["round_trip"]["state"] == "ok"
    assert "(5)" in found["subscribe"]["what"]
    strict = lab.broker(lab.server, acl=f"topic read ocg/v1/{GATEWAY}/up/status\n")
    found = findings(doctor(lab.trusting(strict.port) | {"protocol": "3.1.1"}, "--json")[1])
    assert (found["publish"]["state"], found["round_trip"]["code"]) == ("ok", "no_round_trip")
    assert STATUS in found["round_trip"]["what"]
    found = findings(doctor(lab.trusting(strict.port), "--json")[1])
    assert (found["publish"]["code"], "round_trip" in found) == ("publish_forbidden", False)
    assert STATUS in found["publish"]["what"]


def test_a_subscription_that_is_refused_is_a_failure() -> None:
    granted = Visit({}, {}, {"a": 1, "b": 0x87})
    (one,) = login.subscribed(granted)
    assert (one.state, one.code) == ("fail", "subscribe_forbidden")
    assert "not_authorised: b" in one.what


@pytest.mark.usefixtures("impatient")
def test_a_visit_leaves_commands_at_the_broker_and_the_truth_as_status(lab: TlsLab, doctor: Doctor) -> None:
    """The gateway has vanished a moment ago, with the retained word that it is online and a Will that is due."""
    broker = lab.broker(lab.server)
    uplink = lab.trusting(broker.port)

    async def vanish_and_be_commanded() -> None:
        def given(client_id: str) -> MqttOptions:
            return MqttOptions(client_id=client_id, will=Will(STATUS, b"{}"), **uplink)

        async with connect(given(GATEWAY), nothing) as session:
            await session.subscribe((COMMAND,), timeout_s=5)
            online = {"v": 1, "online": True, "why": "connect"}
            await session.publish(STATUS, json.dumps(online).encode(), retain=True, timeout_s=5)
            session.close()
        async with connect(given("ioc"), nothing) as ioc:
            await ioc.publish(COMMAND, b"ping", timeout_s=5)
            await ioc.publish("ocg/v1/ioc/state", IOC, retain=True, timeout_s=5)
            await ioc.disconnect(with_will=False)

    asyncio.run(vanish_and_be_commanded())
    exit_code, text = doctor(uplink, "--json")
    assert exit_code == 0
    assert findings(text)["ioc"]["what"] == "the IOC is online, and acknowledges"
    assert "behind that of the IOC" in findings(text)["clock"]["what"]

    heard: dict[str, bytes] = {}

    async def come_back() -> None:
        will = Will(STATUS, b"{}")
        async with connect(MqttOptions(client_id=GATEWAY, will=will, **uplink), heard.__setitem__) as session:
            await session.subscribe((STATUS,), timeout_s=5)
            await until(lambda: {STATUS, COMMAND} <= heard.keys())

    asyncio.run(come_back())
    assert heard[COMMAND] == b"ping"
    assert json.loads(heard[STATUS]) == {"v": 1, "online": False, "why": "will"}


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def nothing(topic: str, payload: bytes) -> None:
    pass


RUNNING = {
    "time_ms": 1_795_432_800_000,
    "uplink": {
        "connected": True,
        "since_ms": 1_795_432_790_000,
        "error": "",
        "fault": None,
        "alarm": "",
        "last_ack_ms": 1_795_432_798_000,
        "ioc_online": True,
        "ack": "ioc",
    },
}


def _running(**uplink: Any) -> dict[str, Finding]:
    report = {**RUNNING, "uplink": {**RUNNING["uplink"], **uplink}}
    return {finding.check: finding for finding in as_it_says(report)}


def test_the_running_agent_is_asked_and_its_word_is_taken() -> None:
    good = _running()
    assert [finding.state for finding in good.values()] == ["ok"] * 3
    assert "connected for 10 s" in good["login"].what
    assert "2 s ago" in good["publish"].what
    assert _running(alarm="up/data: not_authorised")["publish"].state == "fail"
    assert _running(last_ack_ms=None)["publish"].state == "warn"
    assert _running(ioc_online=False)["ioc"].state == "warn"
    fault = {"code": "wrong_name", "values": {"broker": "mqtts://ioc:8883", "detail": "for another"}}
    (down,) = _running(connected=False, error="in English", fault=fault).values()
    assert (down.state, down.code) == ("fail", "wrong_name")
    assert "it is for another name" in down.what
    (unknown,) = _running(connected=False, error="something new", fault={"code": "new", "values": {}}).values()
    assert "something new" in unknown.what


def test_nobody_logs_in_beside_an_agent_that_may_not_be_asked(
    lab: TlsLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(folder: Path, verb: str) -> None:
        raise PermissionError

    monkeypatch.setattr(broker_checks, "ask_agent", forbidden)
    broker = lab.broker(None)
    exit_code, text = doctor(lab.trusting(broker.port) | {"tls": False}, "--json")
    assert exit_code == 0
    assert findings(text)["login"]["state"] == "warn"
    assert "publish" not in findings(text)


def test_who_may_not_read_the_key_is_told_to_use_sudo(
    lab: TlsLab, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = lab.broker(lab.server)
    fault = Fault("file_unreadable", {"file": "/etc/oc-agent/gw.key", "detail": "Permission denied"})
    monkeypatch.setattr(broker_checks, "trial", lambda options: trial.Trial(UplinkDown.by(fault)))
    monkeypatch.setattr(broker_checks.os, "geteuid", lambda: 1000)
    exit_code, text = doctor(lab.trusting(broker.port), lang="vi")
    assert exit_code == 1
    assert "/etc/oc-agent/gw.key: không đọc được (Permission denied)" in text
    assert "dùng sudo" in text
