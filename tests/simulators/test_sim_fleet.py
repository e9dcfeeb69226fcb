"""`oc-sim fleet` as a process, on real brokers, with the reference IOC: what was read is there once, whatever happens."""

import json
import resource
import subprocess
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
from broker_kit import KIT, Certificates, KitBroker
from contract_check import decoded, definitions_of
from processes import Popen, python_module, ready_line, started, stop, wait_until

from simulators.cli import main
from simulators.fleet.faults import NAMES
from simulators.fleet.fleet import Course, Fleet
from simulators.fleet.gateway import Plan
from simulators.fleet.outbox import Outbox
from simulators.fleet.report import report
from simulators.ioc.report import GatewayReport
from simulators.mqtt.address import parse_broker
from simulators.testing import Bench, BenchBroker, BenchClient, BenchIoc

ACK_EVERY_S = 0.2
POINTS = 4


@pytest.fixture
def ioc(bench: Bench, broker: BenchBroker) -> BenchIoc:
    return bench.ioc(broker, ack_every_s=ACK_EVERY_S)


def fleet(gateways: int, port: int, *arguments: Any) -> list[str]:
    address = ["--broker", f"mqtt://127.0.0.1:{port}", "--start-spread", "0.2", "--points", str(POINTS)]
    return python_module("simulators", "fleet", str(gateways), *address, "--json", *map(str, arguments))


def last_line(process: Popen, seconds: float = 60) -> dict[str, Any]:
    """Wait for its end; gives the account."""
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, out
    return dict(json.loads(out.splitlines()[-1])["account"])


def accounts(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def check_at_ioc(ioc: BenchIoc, said: GatewayReport, one: dict[str, Any]) -> None:
    """What the IOC has of a gateway is its account: each value of the counter once, but for those declared lost."""
    assert (one["stored"], one["accepted"]) == (0, one["delivered"] + sum(one["lost"].values()))
    (epoch,) = said.epochs
    assert (epoch.epoch, epoch.high, epoch.cumulative) == (one["epoch"], one["high"], one["high"])
    assert (epoch.gaps, epoch.declared) == ([], epoch.lost)
    assert (said.readings, said.changed) == (one["delivered"], 0)
    assert said.declared_lost_readings == sum(one["lost"].values())
    found = ioc.query(
        "SELECT value FROM reading WHERE gateway = ? AND point = 'count' ORDER BY time_ms", one["gateway"]
    )
    counts = [int(value) for (value,) in found]
    assert counts == sorted(set(counts))
    assert set(counts) <= set(range(1, one["count"] + 1))
    assert one["count"] - len(counts) == sum(one["lost"].values()) // POINTS


def test_over_faults_outages_and_a_broker_that_is_killed_the_account_is_that_of_the_ioc(
    broker: BenchBroker, ioc: BenchIoc, tmp_path: Path
) -> None:
    faults = ",".join(f"{name}=0.03" for name in NAMES)
    how = ["--rate", 10, "--seconds", 6, "--outage", "3,0.5", "--drain", 30, "--faults", faults, "--seed", 3]
    command = fleet(12, broker.port, *how, "--every", 0.2, "--accounts", tmp_path / "accounts")
    with started(command, tmp_path / "log") as process:
        assert ready_line(process)["gateways"] == 12
        assert process.stdout
        for line in process.stdout:
            if json.loads(line)["report"]["accepted"] > 12 * POINTS * 15:
                break
        broker.kill()
        wait_until(lambda: json.loads(next(process.stdout))["report"]["connected"] == 0, 20, "the fleet is cut off")
        broker.start()
        account = last_line(process)
    said = ioc.stop()
    assert (account["balanced"], account["stored"], said.gaps) == (True, 0, 0)
    assert account["outages"] > 5
    assert set(NAMES) == account["faults"].keys()
    of = {one.gateway: one for one in said.gateways}
    assert len(of) == 12
    for one in accounts(tmp_path / "accounts"):
        check_at_ioc(ioc, of[one["gateway"]], one)
    assert said.malformed.keys() == {"json", "schema", "gateway"}
    assert ioc.query("SELECT count(*) FROM reading WHERE time_ms < 1700000000000") == [(0,)], "times are made right"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_all_that_is_on_the_wire_is_of_the_contract(
    protocol: Literal["5", "3.1.1"], broker: BenchBroker, ioc: BenchIoc, tmp_path: Path
) -> None:
    recorder = broker.record()
    how = ["--rate", 10, "--protocol", protocol, "--outage", "1.5,0.3", "--events", 1, "--points", 40]
    with started(fleet(4, broker.port, *how, "--every", 0.2), tmp_path / "log") as process:
        ready_line(process)
        wait_until(lambda: {"event", "data", "health"} <= lanes(recorder), 20, "events, data and health")
        wait_until(lambda: ask(broker, protocol) or "result" in lanes(recorder), 20, "results")
        assert process.stdout
        while json.loads(process.stdout.readline())["report"]["outages"] < 3:
            pass
        account = json.loads(stop(process).splitlines()[-1])["account"]
    said = ioc.stop()
    recorder.stop()
    assert definitions_of(recorder.messages) >= {"birth", "device_birth", "status", "data", "event", "result", "health"}
    assert "backfill" in lanes(recorder)
    assert (said.malformed, said.gaps, said.lost) == ({}, 0, 0)
    assert (account["accepted"], account["stored"]) == (account["delivered"], 0)
    assert said.readings == account["delivered"]
    check_statuses(recorder, protocol)


def lanes(recorder: BenchClient) -> set[str]:
    """The last levels of the topics until now."""
    return {one.topic.rpartition("/")[2] for one in list(recorder.messages)}


def ask(broker: BenchBroker, protocol: Literal["5", "3.1.1"]) -> None:
    """A command, and a replay of everything; a gateway may be away."""
    client = broker.client(client_id="ask", protocol=protocol)
    command = {"v": 1, "id": "c1", "command": "ping", "time_ms": 1}
    replay = {"v": 1, "id": "r1", "time_ms": 1, "from_ms": 0, "to_ms": 2**50}
    for name, message in (("cmd", command), ("replay", replay)):
        client.publish(f"ocg/v1/sim-0002/down/{name}", json.dumps(message).encode())
    client.stop()


def check_statuses(recorder: BenchClient, protocol: str) -> None:
    """A gateway that is cut off is online again; the last of each says that it went in order."""
    last: dict[str, dict[str, Any]] = {}
    whys: set[str] = set()
    for one in recorder.messages:
        if one.topic.endswith("/status"):
            last[one.topic] = decoded(one.payload)
            whys.add(last[one.topic]["why"])
    assert [one["why"] for one in last.values()] == ["stop"] * 4
    assert max(one["connection"] for one in last.values()) > 1
    assert whys == ({"connect", "stop"} if protocol == "5" else {"connect", "stop", "will"}), "MQTT 5 waits 30 s"


def test_an_ioc_that_is_not_there_costs_nothing_but_time(broker: BenchBroker, ioc: BenchIoc, tmp_path: Path) -> None:
    with started(fleet(3, broker.port, "--rate", 10, "--every", 0.2, "--drain", 30), tmp_path / "log") as process:
        ready_line(process)
        assert process.stdout
        before = ioc.stop()
        while json.loads(process.stdout.readline())["report"]["stored"] < 40 * POINTS:
            pass
        ioc.start()
        account = json.loads(stop(process, 40).splitlines()[-1])["account"]
    after = ioc.stop()
    assert before.readings < after.readings == account["delivered"] == account["accepted"]
    assert (after.gaps, after.lost, after.malformed) == (0, 0, {})


def test_what_could_not_be_delivered_is_in_the_account_as_stored(broker: BenchBroker, tmp_path: Path) -> None:
    command = fleet(2, broker.port, "--rate", 10, "--ack", "ioc", "--seconds", 1, "--drain", 0.2)
    with started(command, tmp_path / "log") as process:
        ready_line(process)
        account = last_line(process)
    assert account["balanced"]
    assert account["accepted"] == account["stored"] > 0


def test_it_waits_for_a_broker_and_says_why_and_can_be_ended_meanwhile(tmp_path: Path) -> None:
    with started(fleet(2, 9, "--every", 0.1), tmp_path / "log") as process:
        wait_until(lambda: "0 of 2 are connected: mqtt://127.0.0.1:9: " in (tmp_path / "log").read_text(), 20, "why")
        account = json.loads(stop(process).splitlines()[-1])["account"]
    assert (account["accepted"], account["connections"]) == (0, 0)


@pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")
def test_each_gateway_may_have_a_certificate_of_its_own(bench: Bench, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "pki")
    names = ["load-0001", "load-0002"]
    for arguments in (("ca",), ("broker", "localhost"), *(("gateway", name) for name in names)):
        certificates.make(*arguments)
    own = certificates.pki / "gateways" / "{gw}"
    files = [
        "--ca-file",
        own.parent / names[0] / "ca.pem",
        "--cert-file",
        own / "cert.pem",
        "--key-file",
        own / "key.pem",
    ]
    kit = KitBroker(bench, tmp_path / "etc", certificates)
    kit.start()
    try:
        more = [
            "--broker",
            f"mqtts://localhost:{kit.port}",
            "--prefix",
            "load-",
            *files,
            "--seconds",
            0.5,
            "--drain",
            0.5,
        ]
        with started(fleet(2, 1, *more, "--ack", "ioc"), tmp_path / "log") as process:
            ready_line(process)
            account = last_line(process)
    finally:
        kit.kill()
    assert account["connections"] == 2
    assert account["refused"].keys() == {"0x10"}, "nobody subscribes, and nothing is forbidden"


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fleet", "2", "--broker", "mqtts://127.0.0.1:9", "--ca-file", "/nowhere/ca.pem"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: cannot use /nowhere/ca.pem: No such file or directory\n"


def test_a_limit_of_open_files_is_said_with_what_to_do(tmp_path: Path) -> None:
    limits = (100, 100)
    done = subprocess.run(
        fleet(500, 1), capture_output=True, text=True, timeout=30,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
    )  # fmt: skip
    assert done.returncode == 1
    assert "500 gateways need 564 open files, and this process may have 100: start fewer" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["0"], '"0" is no number above 0'),
        (["2", "--points", "501"], "500 readings at the most"),
        (["2", "--faults", "explode=1"], '"explode=1" is no fault: write doubled, lost_ack'),
        (["2", "--outage", "5"], "write EVERY,FOR in seconds"),
        (["2", "--prefix", "Über"], "begins no gateway id"),
        (["2", "--rate", "0"], '"0" is no number above 0'),
        (["2", "--ack", "broker", "--protocol", "3.1.1"], "a PUBACK says nothing"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fleet", *arguments])
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_account_that_does_not_balance_is_said_and_fails(
    broker: BenchBroker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = Outbox.add

    def twice(self: Outbox, batch: Any) -> None:
        real(self, batch)
        self.accepted += batch.seq == 1

    monkeypatch.setattr(Outbox, "add", twice)
    with pytest.raises(SystemExit) as ended:
        main(fleet(2, broker.port, "--rate", 20, "--seconds", 0.5, "--drain", 0)[3:])
    assert ended.value.code == 1
    account = json.loads(capfd.readouterr().out.splitlines()[-1])["account"]
    assert (account["balanced"], account["unbalanced"]) == (False, ["sim-0001", "sim-0002"])


async def test_a_fleet_that_has_done_nothing_balances() -> None:
    said = report(Fleet(["a", "b"], Plan(), Course(), parse_broker("mqtt://127.0.0.1")))
    assert (said.balanced, said.gateways, said.connected, said.puback_ms) == (True, 2, 0, {"p50": None, "p95": None})


@pytest.mark.soak
def test_a_thousand_gateways_on_one_core(bench: Bench, broker: BenchBroker, tmp_path: Path) -> None:
    """What it cost is printed. Broker and IOC are kept to the last core, the fleet to the first."""
    cores = psutil.Process().cpu_affinity()
    ioc = bench.ioc(broker, "--every", "999")
    command = fleet(1000, broker.port, "--seconds", 60, "--drain", 60, "--points", 10)
    with started(command, tmp_path / "log") as process:
        for one in psutil.Process().children():
            one.cpu_affinity(cores[:1] if one.pid == process.pid else cores[-1:])
        print(f"\n{ready_line(process)}")
        out, _ = process.communicate(timeout=180)
        at_ioc = ioc.stop()
    for line in out.splitlines()[:-1]:
        said = json.loads(line)["report"]
        print({key: said[key] for key in ("cpu_pct", "accepted", "delivered", "puback_ms", "ack_ms")})
    account = json.loads(out.splitlines()[-1])["account"]
    assert (process.returncode, account["stored"], account["lost"]) == (0, 0, {})
    assert account["accepted"] == account["delivered"] == at_ioc.readings > 500_000
