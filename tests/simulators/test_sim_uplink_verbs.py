"""`oc-sim broker` and `oc-sim proxy` as a tester of another gateway uses them: processes, with a paho client of his own."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from processes import python_module, ready_line, started, stop, wait_until


def client(port: int) -> paho.Client:
    made = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="gw-1")
    made.reconnect_delay_set(1, 1)
    made.connect("127.0.0.1", port)
    made.loop_start()
    return made


@pytest.mark.parametrize(
    ("arguments", "name", "protocol"), [((), "mosquitto", "5"), (("--embedded",), "amqtt", "3.1.1")]
)
def test_the_broker_says_where_it_is_and_ends_with_everything_it_started(
    arguments: tuple[str, ...], name: str, protocol: str, tmp_path: Path
) -> None:
    with started(python_module("simulators", "broker", *arguments), tmp_path / "log") as process:
        ready = ready_line(process)
        assert (ready["program"], ready["protocol"], ready["broker"]) == (
            name, protocol, f"mqtt://127.0.0.1:{ready['port']}",
        )  # fmt: skip
        socket.create_connection(("127.0.0.1", ready["port"]), 5).close()
        assert stop(process) == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ready["port"]), 5)


def test_through_the_proxy_connections_go_wrong_until_it_is_told_to_let_them(tmp_path: Path) -> None:
    with started(python_module("simulators", "broker"), tmp_path / "log") as broker:
        port = ready_line(broker)["port"]
        command = ["proxy", "--broker-port", str(port), "--faults", "cut,rst", "--seed", "3", "--longest", "0.1"]
        with started(python_module("simulators", *command), tmp_path / "log") as proxy:
            ready = ready_line(proxy)
            assert ready["broker_port"] == port != ready["port"]
            gateway = client(ready["port"])
            ends: list[int] = []
            gateway.on_disconnect = lambda *_: ends.append(1)
            wait_until(lambda: gateway.publish("t", b"x" * 2_000, qos=1) and len(ends) >= 2, 30, "two cuts")
            proxy.send_signal(signal.SIGUSR1)
            wait_until(lambda: gateway.is_connected() and _arrives(gateway), 30, "everything passes")
            gateway.disconnect()
            gateway.loop_stop()
            report = json.loads(stop(proxy))
        stop(broker)
    assert report["connections"] >= 2
    assert report["done"].keys() <= {"cut", "rst"}
    assert sum(report["done"].values()) >= 2


def _arrives(gateway: paho.Client) -> bool:
    info = gateway.publish("t", b"y", qos=1)
    info.wait_for_publish(5)
    return info.is_published()


def test_a_fault_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    command = python_module("simulators", "proxy", "--broker-port", "1", "--faults", "cut,explode")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert (
        '"explode" is no fault: write some of cut, rst, half_open, refuse, blackhole, stall, slow, split'
        in " ".join(done.stderr.split())
    )
