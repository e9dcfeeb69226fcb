"""One gateway of the fleet without a network: against the contract, and against the ingest of the reference IOC."""

import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from contract_check import decoded, faults_of, valid

from simulators.fleet.faults import NAMES, FaultName, MessageFaults, spoiled
from simulators.fleet.figures import Figures
from simulators.fleet.gateway import QUIET_S, Gateway, Plan
from simulators.fleet.lanes import Sending
from simulators.fleet.outbox import KEPT_DELIVERED
from simulators.fleet.pace import MAX_REFUSED_S, MAX_UNREACHABLE_S, Outages, Reconnecting
from simulators.fleet.payloads import ranges_of
from simulators.fleet.replays import MAX_WAITING
from simulators.fleet.sealing import Now
from simulators.ioc.db import Database
from simulators.ioc.ingest import Ingest
from simulators.ioc.report import report

NAME, EPOCH, OTHER = "sim-0001", "9f3c1a7be2d04455", "00000000000000aa"
BEGUN_MS = 1_795_432_800_000
POINTS = 4


class Line:
    """One gateway, its clock, and a wire that the test moves by hand."""

    def __init__(self, **plan: Any) -> None:
        self.now_s = 1_000.0
        self.figures = Figures()
        self.gateway = Gateway(NAME, EPOCH, Plan(points=POINTS, **plan), self.figures, self.clock)
        self.sent: list[Sending] = []

    def clock(self) -> Now:
        return Now(self.now_s, BEGUN_MS + round((self.now_s - 1_000) * 1_000))

    def hear(self, topic: str, *, retained: bool = False, **said: Any) -> None:
        self.gateway.hear(topic, json.dumps({"v": 1, "time_ms": 1} | said).encode(), retained=retained)

    def state(self, *, online: bool = True, ack: bool = True, **more: Any) -> None:
        self.hear("state", online=online, ack=ack, **more)

    def ack(self, cumulative: int, *selective: tuple[int, int], epoch: str = EPOCH) -> None:
        self.hear("down/ack", epoch=epoch, cumulative=cumulative, selective=selective)

    def connect(self, receive_maximum: int = 20, *, ack: bool | None = True) -> None:
        """Connected, and the births and the status are at the broker."""
        self.gateway.connected(receive_maximum)
        if ack is not None:
            self.state(ack=ack)
        for topic in ("birth", "birth/sim-01", "status"):
            sending = self.gateway.take()
            assert sending
            assert sending.topic == topic
            self.gateway.landed(sending, 0)

    def flow(self, code: int = 0) -> list[Sending]:
        """Everything that may leave does, and the broker answers each; gives what left."""
        found = []
        while sending := self.gateway.take():
            found.append(sending)
            self.gateway.landed(sending, code)
        self.sent += found
        return found

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.now_s += 1
            self.gateway.tick()

    def read(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += 0.01
            self.gateway.read()


def seqs(sendings: list[Sending]) -> list[tuple[str, int]]:
    return [(one.topic, decoded(one.payload)["seq"]) for one in sendings if not one.retain]


def bodies(sendings: list[Sending], topic: str) -> list[dict[str, Any]]:
    return [decoded(one.payload) for one in sendings if one.topic == topic]


def account(line: Line) -> tuple[int, int, int, dict[str, int]]:
    said = line.gateway.outbox.account()
    assert said.balanced
    return said.accepted // POINTS, said.delivered // POINTS, said.stored // POINTS, said.lost


# What it publishes


def test_everything_that_it_publishes_is_what_the_contract_allows() -> None:
    line = Line(faults=MessageFaults(dict.fromkeys(("doubled", "gap", "unsync", "no_answer", "reorder"), 0.1)))
    line.gateway.connected(20)
    line.state()
    line.read(300)
    line.hear("down/cmd", id="c1", command="ping")
    line.gateway.hear("down/cmd", b"rubbish", retained=False)
    for second in range(60):
        if second == 50:
            line.hear("down/replay", id="r1", epoch=EPOCH, ranges=[[1, line.gateway.seq + 9]])
        line.flow()
        line.ack(line.gateway.seq)
        line.pass_time(1)
    line.pass_time(QUIET_S)
    line.gateway.stop()
    line.flow()
    base = f"ocg/v1/{NAME}/up/"
    faults = [fault for one in line.sent for fault in faults_of(base + one.topic, one.payload, 1, retain=one.retain)]
    assert faults == []
    assert {one.topic for one in line.sent} == {
        "birth",
        "birth/sim-01",
        "status",
        "data",
        "backfill",
        "event",
        "result",
    }
    assert faults_of(base + "health", line.gateway.health(), 0, retain=False) == []
    assert faults_of(base + "status", line.gateway.will(), 1, retain=True) == []
    assert line.figures.faults.keys() == {"doubled", "gap", "unsync", "no_answer", "reorder"}


@pytest.mark.parametrize("fault", ["bad_json", "wrong_version", "wrong_gateway"])
def test_what_is_spoiled_is_what_the_contract_forbids(fault: FaultName) -> None:
    line = Line(faults=MessageFaults({fault: 1.0}))
    line.connect()
    line.read()
    beside, true = line.flow()
    topic = f"ocg/v1/{NAME}/up/data"
    assert len(faults_of(topic, beside.payload, 1, retain=False)) == 1
    assert faults_of(topic, true.payload, 1, retain=False) == []
    assert spoiled(fault, true.payload) == beside.payload
    if fault != "bad_json":
        assert set(decoded(beside.payload)["scans"][0]["values"].values()) == {-1}, "who takes it has wrong values"


def test_it_says_who_it_is_before_anything_else_and_at_each_connection() -> None:
    line = Line()
    line.read(2)
    for connection in (1, 2):
        assert valid("status", line.gateway.will())["connection"] == connection
        line.gateway.connected(20)
        first = line.flow()
        assert [one.topic for one in first[:3]] == ["birth", "birth/sim-01", "status"]
        assert valid("status", first[2].payload)["connection"] == connection
        assert seqs(first) == [("backfill", 1), ("backfill", 2)]
        line.gateway.disconnected()


def test_the_counter_goes_up_by_one_and_no_two_readings_have_the_same_time() -> None:
    line = Line()
    line.connect()
    for _ in range(50):
        line.gateway.read()
    scans = [body["scans"][0] for body in bodies(line.flow(), "data")]
    assert [scan["values"]["count"] for scan in scans] == list(range(1, 51))
    assert len({scan["time_ms"] for scan in scans}) == 50
    assert list(scans[0]["values"]) == ["count", "temperature", "humidity", "pm2_5"]


# What counts as delivered


def test_with_an_ioc_that_acknowledges_only_its_ack_delivers() -> None:
    line = Line()
    line.connect()
    line.read(6)
    line.flow()
    line.pass_time(30)
    assert account(line) == (6, 0, 6, {})
    line.ack(2, (4, 5))
    assert account(line) == (6, 4, 2, {})
    assert list(line.gateway.outbox.undelivered) == [3, 6]


def test_an_ack_that_cannot_be_true_delivers_nothing() -> None:
    line = Line()
    line.connect()
    line.read(2)
    line.flow()
    line.read()
    line.ack(2, epoch=OTHER)
    line.ack(4)
    line.ack(0, (1, 9))
    line.hear("down/ack", epoch=EPOCH, cumulative=-1, selective=[])
    assert account(line) == (3, 0, 3, {})
    line.ack(3)
    assert account(line) == (3, 2, 1, {}), "what never left has not arrived"


def test_without_an_ioc_a_puback_delivers_after_ten_seconds_and_what_was_taken_before_too() -> None:
    line = Line()
    line.connect(ack=None)
    line.read(2)
    line.flow()
    line.pass_time(9)
    assert account(line)[1] == 0
    line.pass_time(2)
    assert account(line)[1] == 2
    line.state(ack=True)
    line.read()
    line.flow()
    line.pass_time(20)
    assert account(line)[1] == 2


@pytest.mark.parametrize(("ack", "protocol", "delivered"), [("broker", "5", 1), ("ioc", "5", 0), ("auto", "3.1.1", 0)])
def test_whose_word_counts_can_be_said_but_of_mqtt_311_a_puback_says_nothing(
    ack: str, protocol: str, delivered: int
) -> None:
    line = Line(ack=ack, protocol=protocol)
    line.connect(ack=False)
    line.read()
    line.flow()
    line.pass_time(20)
    assert account(line)[1] == delivered


@pytest.mark.parametrize(("code", "paused_s"), [(0x10, 10), (0x87, 60), (0x97, 30)])
def test_what_the_broker_does_not_take_is_kept_and_its_topic_tried_more_slowly(code: int, paused_s: int) -> None:
    line = Line(ack="broker")
    line.connect()
    line.read()
    assert seqs(line.flow(code)) == [("data", 1), ("backfill", 1)]
    gaps, last_s = [], line.now_s
    for _ in range(400):
        line.pass_time(1)
        if line.flow(code):
            gaps.append(line.now_s - last_s)
            last_s = line.now_s
    assert gaps[0] <= 2
    assert gaps[-1] == paused_s
    assert account(line) == (1, 0, 1, {})
    assert line.gateway.lanes.forbidden.keys() == ({"data", "backfill"} if code == 0x87 else set())
    line.gateway.tell("alarm.raise", "minor", "x")
    assert seqs(line.flow()) == [("event", 2)], "the others flow on"


@pytest.mark.parametrize("code", [0x95, 0x99])
def test_what_the_broker_can_never_take_is_dead_and_declared(code: int) -> None:
    line = Line(ack="broker")
    line.connect()
    line.read()
    sending = line.gateway.take()
    assert sending
    line.gateway.landed(sending, code)
    (event,) = bodies(line.flow(), "event")
    assert (event["event"]["ranges"], event["event"]["readings"]) == ([[1, 1]], POINTS)
    assert account(line) == (1, 0, 0, {"dead": POINTS})


# What leaves when


def test_never_more_is_in_flight_than_the_window_nor_late_than_three_quarters_of_it() -> None:
    for receive_maximum, window in ((8, 8), (1_000, 20)):
        line = Line()
        line.read(40)
        line.gateway.connected(receive_maximum)
        line.state()
        held: list[Sending] = []
        while (sending := line.gateway.take()) is not None:
            held.append(sending)
            if len(held) == 3:
                for one in held:
                    line.gateway.landed(one, 0)
        assert sum(one.late for one in held) == window * 3 // 4
        line.read(40)
        while (sending := line.gateway.take()) is not None:
            held.append(sending)
        assert line.gateway.lanes.in_flight == len(held) - 3 == window


def test_live_goes_first_and_the_backlog_follows_in_order_at_its_pace() -> None:
    line = Line(backfill_per_s=5 * POINTS)
    line.read(30)
    line.connect()
    line.read()
    first = seqs(line.flow())
    assert first == [("data", 31), *(("backfill", number) for number in range(1, 6))]
    line.state(backfill_readings_per_s=2 * POINTS)
    line.pass_time(1)
    assert seqs(line.flow()) == [("backfill", 6), ("backfill", 7)]


def test_while_the_ioc_is_offline_no_data_is_sent_and_then_what_it_has_not_acknowledged_comes_again() -> None:
    line = Line()
    line.connect()
    line.read()
    line.flow()
    line.state(online=False)
    line.read()
    line.pass_time(100)
    assert line.flow() == []
    line.state()
    assert seqs(line.flow()) == [("data", 2)]
    line.pass_time(2)
    assert seqs(line.flow()) == [("backfill", 1), ("backfill", 2)]


def test_what_is_not_acknowledged_in_a_minute_comes_again_with_the_same_bytes() -> None:
    line = Line()
    line.connect()
    line.read(3)
    before = line.flow()
    line.pass_time(50)
    line.read()
    line.flow()
    line.ack(0, (4, 4))
    line.pass_time(11)
    again = line.flow()
    assert seqs(again) == [("backfill", 1), ("backfill", 2), ("backfill", 3)]
    assert [one.payload for one in again] == [one.payload for one in before]


def test_an_ioc_that_acknowledges_nothing_is_asked_with_one_batch_a_minute() -> None:
    line = Line()
    line.connect()
    line.read(5)
    line.flow()
    asked = []
    for _ in range(200):
        line.pass_time(1)
        asked += seqs(line.flow())
    assert asked == [("backfill", 1)] * 3


def test_after_a_reconnect_everything_that_is_not_delivered_comes_again() -> None:
    line = Line()
    line.connect()
    line.read(4)
    line.flow()
    line.ack(1, (3, 3))
    line.gateway.disconnected()
    line.read()
    line.connect()
    assert seqs(line.flow()) == [("backfill", 2), ("backfill", 4), ("backfill", 5)]


def test_a_full_outbox_gives_up_the_oldest_and_says_which() -> None:
    line = Line(room=100)
    line.read(103)
    for _ in range(3):
        line.gateway.tick()
    assert account(line) == (103, 0, 99, {"outbox_limit": 4 * POINTS})
    line.connect()
    sent = line.flow()
    (event,) = bodies(sent, "event")
    assert (event["event"]["ranges"], event["event"]["readings"]) == ([[1, 4]], 4 * POINTS)
    assert seqs(sent)[0] == ("backfill", 5)


def test_what_the_broker_has_taken_and_nobody_acknowledges_is_given_up_too_but_not_what_is_on_its_way() -> None:
    line = Line(room=100)
    line.connect()
    line.read()
    on_its_way = line.gateway.take()
    line.read(109)
    line.flow()
    line.gateway.tick()
    assert account(line)[3] == {"outbox_limit": 11 * POINTS}
    assert list(line.gateway.outbox.undelivered)[:2] == [1, 13]
    assert on_its_way


def test_what_was_on_its_way_when_the_connection_ended_takes_no_room_in_the_next_window() -> None:
    line = Line()
    line.read(40)
    for _ in range(3):
        line.gateway.connected(20)
        line.state()
        assert sum(line.gateway.take() is not None for _ in range(40)) == 3 + 15
        line.gateway.disconnected()


# What it is asked


def test_a_replay_sends_the_same_bytes_and_says_what_is_missing() -> None:
    line = Line()
    line.connect()
    line.read(KEPT_DELIVERED + 5)
    sent = {}
    for _ in range(10):
        sent |= {decoded(one.payload)["seq"]: one.payload for one in line.flow()}
    line.ack(KEPT_DELIVERED + 4)
    line.hear("down/replay", id="r1", epoch=EPOCH, ranges=[[3, 6], [KEPT_DELIVERED + 4, KEPT_DELIVERED + 9]])
    again = line.flow()
    assert seqs(again)[:3] == [("backfill", 5), ("backfill", 6), ("backfill", KEPT_DELIVERED + 4)]
    assert all(one.payload == sent[decoded(one.payload)["seq"]] for one in again[:3])
    (result,) = bodies(again, "result")
    assert result["result"] == {
        "id": "r1", "time_ms": line.clock().wall_ms, "ok": True, "readings": 3 * POINTS,
        "ranges": [[5, 6], [KEPT_DELIVERED + 4, KEPT_DELIVERED + 5]],
        "missing": [[3, 4], [KEPT_DELIVERED + 6, KEPT_DELIVERED + 9]],
    }  # fmt: skip


def test_a_replay_by_time_and_device_one_of_another_epoch_and_one_that_is_cancelled() -> None:
    line = Line(backfill_per_s=1.0)
    line.connect()
    line.read(10)
    line.flow()
    line.ack(10)
    first_ms = BEGUN_MS + 20
    line.hear("down/replay", id="none", from_ms=first_ms, to_ms=first_ms + 30, devices=["other"])
    line.hear("down/replay", id="epoch", epoch=OTHER, ranges=[[1, 2]])
    line.hear("down/replay", id="time", from_ms=first_ms, to_ms=first_ms + 30, devices=["sim-01"])
    line.hear("down/replay", id="long", epoch=EPOCH, ranges=[[1, 10]])
    results, again = [], []
    for _ in range(40):
        line.pass_time(1)
        again += line.flow()
        results = [body["result"] for body in bodies(again, "result")]
        if any(one["id"] == "time" for one in results):
            line.hear("down/replay", id="long", cancel=True)
        line.ack(line.gateway.seq)
    assert [(one["id"], one["ok"], one.get("ranges")) for one in results] == [
        ("none", True, []), ("epoch", True, []), ("time", True, [[2, 4]]), ("long", False, results[3].get("ranges")),
    ]  # fmt: skip
    assert results[1]["missing"] == [[1, 2]]
    assert results[3]["error"] == "cancelled"
    assert line.gateway.settled


def test_a_replay_that_is_cancelled_half_way_says_what_was_sent() -> None:
    line = Line(backfill_per_s=2 * POINTS)
    line.connect()
    line.read(9)
    line.flow()
    line.ack(9)
    line.hear("down/replay", id="r1", epoch=EPOCH, ranges=[[1, 9]])
    assert seqs(line.flow()) == [("backfill", 1), ("backfill", 2)]
    line.hear("down/replay", id="r1", cancel=True)
    (result,) = bodies(line.flow(), "result")
    assert (result["result"]["ok"], result["result"]["error"], result["result"]["ranges"]) == (
        False,
        "cancelled",
        [[1, 2]],
    )
    line.pass_time(9)
    assert line.flow() == []


def test_a_replay_too_many_is_refused_and_a_cut_begins_what_was_on_its_way_again() -> None:
    line = Line()
    line.connect()
    line.read(3)
    line.flow()
    line.ack(3)
    for number in range(MAX_WAITING + 1):
        line.hear("down/replay", id=f"r{number}", epoch=EPOCH, ranges=[[1, 3]])
    refused = line.gateway.take()
    assert refused
    result = decoded(refused.payload)["result"]
    assert (result["id"], result["ok"]) == (f"r{MAX_WAITING}", False)
    assert all(line.gateway.take() for _ in range(2))
    line.gateway.disconnected()
    line.connect()
    again = line.flow()
    assert [one for one in seqs(again) if one[0] == "backfill"][:3] == [("backfill", n) for n in (1, 2, 3)]
    assert [body["result"]["id"] for body in bodies(again, "result")][-1] == f"r{MAX_WAITING - 1}"


@pytest.mark.parametrize(("expires_ms", "error"), [(None, "unknown command"), (1, "expired")])
def test_a_command_gets_one_result_and_is_told(expires_ms: int | None, error: str) -> None:
    line = Line()
    line.connect()
    for _ in range(2):
        line.hear("down/cmd", id="c1", command="reboot", **({"expires_ms": expires_ms} if expires_ms else {}))
    sent = line.flow()
    (result,) = bodies(sent, "result")
    assert (result["result"]["id"], result["result"]["ok"], result["result"]["error"]) == ("c1", False, error)
    assert bodies(sent, "event")[0]["event"]["type"] == "security.bad_command"


def test_a_late_will_is_gainsaid_and_another_client_of_this_name_is_told() -> None:
    line = Line()
    line.connect()
    mine = {"gateway": NAME, "epoch": EPOCH, "boot": 1}
    line.hear("up/status", online=True, connection=1, **mine)
    line.hear("up/status", online=True, connection=7, retained=True, **(mine | {"epoch": OTHER}))
    assert line.flow() == []
    line.hear("up/status", online=False, connection=1, **mine)
    (status,) = line.flow()
    assert valid("status", status.payload)["online"] is True
    line.hear("up/status", online=True, connection=7, **(mine | {"epoch": OTHER}))
    (event,) = bodies(line.flow(), "event")
    assert event["event"]["type"] == "security.takeover"


# Faults


def test_a_fault_of_each_kind_is_drawn_as_often_as_it_should_and_the_same_seed_draws_the_same() -> None:
    faults = MessageFaults.parse(",".join(f"{name}=0.05" for name in NAMES))
    drawn = [faults.draw(random) for random in [Random(7)] for _ in range(20_000)]
    assert drawn == [faults.draw(random) for random in [Random(7)] for _ in range(20_000)]
    shares = Counter(drawn)
    assert all(0.03 < shares[name] / 20_000 < 0.07 for name in NAMES)
    assert MessageFaults().draw(Random(1)) is None


def test_an_ack_that_is_not_heard_brings_the_same_bytes_again() -> None:
    line = Line(faults=MessageFaults({"lost_ack": 1.0}))
    line.connect()
    line.read()
    (first,) = line.flow()
    line.ack(1)
    assert account(line)[1] == 0
    (again,) = line.flow()
    assert (again.topic, again.payload) == ("backfill", first.payload)
    line.ack(1)
    assert account(line)[1] == 1


def test_the_step_of_a_clock_makes_the_times_right_that_were_sealed_before_it() -> None:
    line = Line(faults=MessageFaults({"unsync": 1.0}))
    line.connect()
    line.read()
    sent = line.flow()
    (batch,), (event,) = bodies(sent, "data"), bodies(sent, "event")
    assert (batch["clock"], event["clock"], event["event"]["ranges"]) == ("unsync", "sync", [[1, 1]])
    assert batch["scans"][0]["time_ms"] + event["event"]["offset_ms"] == line.clock().wall_ms


def test_a_device_that_does_not_answer_has_null_for_all_but_its_counter() -> None:
    line = Line(faults=MessageFaults({"no_answer": 1.0}))
    line.connect()
    line.read()
    (scan,) = bodies(line.flow(), "data")[0]["scans"]
    measured = ["temperature", "humidity", "pm2_5"]
    assert scan["values"] == {"count": 1} | dict.fromkeys(measured)
    assert scan["quality"] == dict.fromkeys(measured, "com")


def test_what_is_held_back_comes_after_the_next_or_on_the_next_connection_and_once() -> None:
    line = Line(faults=MessageFaults({"reorder": 1.0}))
    line.connect()
    line.read(2)
    assert seqs(line.flow()) == [("data", 1)]
    line.gateway.tell("alarm.raise", "minor", "x")
    assert seqs(line.flow()) == [("event", 3), ("data", 2)]
    line.read()
    line.gateway.disconnected()
    line.connect()
    line.ack(3)
    line.gateway.release()
    assert seqs(line.flow()) == [("backfill", 4)]


@pytest.mark.parametrize("text", ["explode=1", "gap", "gap=x", "gap=0.9,doubled=0.2"])
def test_a_list_of_faults_that_cannot_be_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"like doubled=0\.01|more than 1|could not convert"):
        MessageFaults.parse(text)


def test_waits_for_the_broker_grow_and_one_who_refuses_is_asked_more_slowly() -> None:
    waits = Reconnecting(Random(1))
    unreachable = [waits.wait_s(None) for _ in range(12)]
    assert unreachable[0] <= 1
    assert MAX_UNREACHABLE_S / 2 <= unreachable[-1] <= MAX_UNREACHABLE_S
    assert waits.wait_s(0x89) > MAX_REFUSED_S / 2
    assert waits.wait_s(0x8E) == MAX_REFUSED_S
    assert waits.wait_s(0x8B) <= MAX_UNREACHABLE_S
    waits.succeeded()
    assert waits.wait_s(None) <= 1


@pytest.mark.parametrize("text", ["5", "5,0", "0,5", "a,b", "1,2,3"])
def test_an_outage_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outage"):
        Outages.parse(text)


def test_numbers_become_ranges() -> None:
    assert ranges_of([]) == []
    assert ranges_of([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]


# Against the ingest of the IOC, over a wire that loses


class Ioc:
    """The reference ingest, and what it is asked to hear."""

    def __init__(self, line: Line) -> None:
        self._database = Database(None)
        self._database.open()
        self.ingest = Ingest(self._database, lambda: line.clock().wall_ms, lambda: line.now_s)

    def take(self, sending: Sending) -> None:
        self.ingest.take(f"ocg/v1/{NAME}/up/{sending.topic}", sending.payload)

    def close(self) -> None:
        self._database.close()


@pytest.fixture(params=range(12))
def troubled(request: pytest.FixtureRequest) -> Iterator[tuple[Line, Ioc, Random]]:
    random = Random(request.param)
    line = Line(faults=MessageFaults(dict.fromkeys(NAMES, 0.04)), seed=request.param, room=150)
    ioc = Ioc(line)
    yield line, ioc, random
    ioc.close()


def test_over_a_wire_that_loses_everything_the_account_is_that_of_the_ioc(troubled: tuple[Line, Ioc, Random]) -> None:
    line, ioc, random = troubled
    for second in range(400):
        calm = second > 250
        line.now_s += 1
        if line.gateway.online and not calm and random.random() < 0.1:
            line.gateway.disconnected()
        elif not line.gateway.online and (calm or random.random() < 0.3):
            line.gateway.connected(20)
            line.state()
        if second < 200:
            line.read(random.randrange(1, 4))
        elif second == 251:
            line.gateway.release()
        elif second == 390:
            line.gateway.say_low()
        line.gateway.tick()
        _exchange(line, ioc, random, 0.0 if calm else 0.3)
    assert line.gateway.settled
    said = report(ioc.ingest)
    (one,) = said.gateways
    (epoch,) = one.epochs
    own = line.gateway.outbox.account()
    assert own.balanced
    assert own.stored == 0
    assert (epoch.high, epoch.cumulative, said.gaps, one.changed) == (line.gateway.seq, line.gateway.seq, 0, 0)
    assert own.accepted - sum(own.lost.values()) == own.delivered
    assert one.declared_lost_readings == sum(own.lost.values())
    assert epoch.declared == epoch.lost or own.lost["outbox_limit"]
    assert one.readings >= own.delivered, "what is lost may have arrived, what is delivered has"
    if not own.lost.get("outbox_limit"):
        assert one.readings == own.delivered
    spoiled_ones = {"bad_json": "json", "wrong_version": "schema", "wrong_gateway": "gateway"}
    assert all(said.malformed.get(reason, 0) <= line.figures.faults[name] for name, reason in spoiled_ones.items())


def _exchange(line: Line, ioc: Ioc, random: Random, loss: float) -> None:
    """What leaves arrives or does not; a lost answer shows only at the next connection, as on TCP."""
    for _ in range(60):
        sending = line.gateway.take()
        if sending is None:
            break
        if random.random() < loss / 10:
            line.gateway.disconnected()
            break
        ioc.take(sending)
        if random.random() < loss / 10:
            line.gateway.disconnected()
            break
        line.gateway.landed(sending, 0)
    for topic, payload in ioc.ingest.acks():
        if random.random() >= loss:
            line.gateway.hear(topic.split("/", 3)[3], payload, retained=False)
