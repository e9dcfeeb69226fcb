"""What a proxy does to PUBLISH and PUBACK, packet by packet; everything else goes on as it came."""

from collections import Counter
from random import Random

import pytest

from simulators.proxy.faults import Direction
from simulators.proxy.meddling import Meddler, Meddling, Out
from simulators.proxy.packets import NotMqtt, Publish, Version, puback, publish

ACK = Publish("ocg/v1/gw/down/ack", b"7", qos=1, packet_id=9)
STATE = Publish("ocg/v1/ioc/state", b"on", qos=1, retain=True, packet_id=10)
DATA = Publish("ocg/v1/gw/up/data", b"x" * 200, qos=1, packet_id=300)
BIRTH = Publish("ocg/v1/gw/up/birth", b"b", qos=1, retain=True, packet_id=301)
CONNACK = {4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}


class Bench:
    """One connection that is open."""

    def __init__(self, version: Version = 5, **orders: object) -> None:
        self.orders: Meddling | None = Meddling(**orders)
        self.done: Counter[str] = Counter()
        self.seen: list[tuple[Direction, Publish]] = []
        self.version: Version = version
        self.meddler = Meddler(lambda: self.orders, Random(1), self._see, self._did)
        connect = b"\x10\x10\x00\x04MQTT" + bytes((version, 2, 0, 60)) + b"\x00\x04gw-1"
        assert self.meddler.injected(ACK) == []
        assert self.meddler.take("up", connect) == [Out("up", connect)]
        assert self.meddler.injected(ACK) == []
        assert self.meddler.take("down", CONNACK[version]) == [Out("down", CONNACK[version])]

    def up(self, message: Publish) -> list[Out]:
        return self.meddler.take("up", publish(message, self.version))

    def down(self, message: Publish) -> list[Out]:
        return self.meddler.take("down", publish(message, self.version))

    def plain(self, message: Publish) -> bytes:
        return publish(Publish(message.topic, message.payload, retain=message.retain), self.version)

    def _see(self, way: Direction, message: Publish) -> None:
        self.seen.append((way, message))

    def _did(self, name: str) -> None:
        self.done[name] += 1


@pytest.fixture(params=[4, 5])
def version(request: pytest.FixtureRequest) -> Version:
    return request.param


def test_without_orders_everything_goes_on_as_it_came_and_is_seen(version: Version) -> None:
    bench = Bench(version)
    bench.orders = None
    assert bench.up(DATA) == [Out("up", publish(DATA, version))]
    assert bench.down(ACK) == [Out("down", publish(ACK, version))]
    assert bench.meddler.take("down", puback(300)) == [Out("down", puback(300))]
    assert bench.seen == [("up", DATA), ("down", ACK)]
    assert not bench.done


def test_a_lost_message_the_broker_believes_to_have_arrived(version: Version) -> None:
    bench = Bench(version, topic="down/ack", lost=1.0)
    assert bench.down(ACK) == [Out("up", puback(ACK.packet_id))]
    assert bench.down(STATE) == [Out("down", publish(STATE, version))]
    assert bench.seen == [("down", STATE)]
    assert bench.done == {"lost": 1}


def test_a_late_message_waits(version: Version) -> None:
    [out] = Bench(version, topic="down/ack", late=1.0, max_late_s=3.0).down(ACK)
    assert out.packet == publish(ACK, version)
    assert 0 < out.wait_s <= 3.0


def test_a_doubled_message_comes_twice_and_is_confirmed_once(version: Version) -> None:
    bench = Bench(version, topic="down/ack", doubled=1.0)
    assert bench.down(ACK) == [Out("down", publish(ACK, version)), Out("down", bench.plain(ACK))]


def test_a_stale_message_is_one_that_came_before(version: Version) -> None:
    bench = Bench(version, topic="down/ack", stale=1.0)
    newer = Publish(ACK.topic, b"8", qos=1, packet_id=11)
    assert bench.down(ACK) == [Out("down", publish(ACK, version))]
    assert bench.down(newer) == [Out("down", publish(newer, version)), Out("down", bench.plain(ACK))]


def test_pubacks_of_the_broker_are_lost_those_of_the_client_never() -> None:
    bench = Bench(pubacks_lost=1.0)
    assert bench.meddler.take("down", puback(300)) == []
    assert bench.meddler.take("up", puback(9)) == [Out("up", puback(9))]


def test_a_refused_message_gets_its_code_and_the_broker_never_sees_it() -> None:
    bench = Bench(refused=1.0, refused_topics=("up/data",), codes=(0x97,))
    assert bench.up(DATA) == [Out("down", puback(300, 0x97))]
    assert bench.up(BIRTH) == [Out("up", publish(BIRTH, 5))]
    assert bench.up(Publish(DATA.topic, b"health", qos=0))[0].direction == "up"
    assert [message.topic for _, message in bench.seen] == [BIRTH.topic, DATA.topic]


def test_a_message_that_comes_by_a_topic_alias_is_known_and_the_one_that_makes_it_goes_on() -> None:
    bench = Bench(refused=1.0, refused_topics=("up/data",), codes=(0x97,))
    alias = b"\x03\x23\x00\x01"
    topic = DATA.topic.encode()
    body = len(topic).to_bytes(2, "big") + topic + b"\x00\x05" + alias + b"first"
    first = bytes((0x32, len(body))) + body
    then = b"\x32\x0d\x00\x00\x00\x06" + alias + b"again"
    assert bench.meddler.take("up", first) == [Out("up", first)]
    assert bench.meddler.take("up", then) == [Out("down", puback(6, 0x97))]
    bench.orders = None
    assert bench.meddler.take("up", then) == [Out("up", then)]
    assert [(message.topic, message.payload) for _, message in bench.seen] == [
        (DATA.topic, b"first"),
        (DATA.topic, b"again"),
    ]


def test_on_3_1_1_a_refusal_can_only_lie() -> None:
    assert Bench(4, refused=1.0, refused_topics=("up/data",), codes=(0x97,)).up(DATA) == [Out("down", puback(300))]


def test_a_message_can_be_injected_when_the_client_is_connected(version: Version) -> None:
    bench = Bench(version)
    assert bench.meddler.injected(Publish("a", b"1")) == [Out("down", publish(Publish("a", b"1"), version))]


def test_a_publish_before_any_connect_is_refused_by_name() -> None:
    meddler = Meddler(lambda: None, Random(1), lambda way, message: None, lambda name: None)
    with pytest.raises(NotMqtt):
        meddler.take("up", publish(DATA, 5))
