"""The least gateway that Python's libraries allow: reads each device once a second, sends what came, QoS 1; no more.

pymodbus asks, paho sends, both on one asyncio loop; one message a second has all devices, as zlib of JSON. It neither
stores, judges, filters nor watches anything: what it costs is what asyncio, pymodbus and paho cost at this work. The
configuration is JSON: `ports` of the devices on 127.0.0.1, `registers` of each, `broker` (port).
"""

import asyncio
import json
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

TOPIC = "bench/all"
INTERVAL_S = 1.0


def attached(broker_port: int) -> paho.Client:
    """A connected client that reads and writes on the loop, and looks at its keepalive once a second."""
    loop = asyncio.get_running_loop()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", broker_port)
    sock: Any = client.socket()

    def stop_writing(*_: Any) -> None:
        loop.remove_writer(sock)

    client.on_socket_register_write = lambda *_: loop.add_writer(sock, client.loop_write)
    client.on_socket_unregister_write = stop_writing
    loop.add_reader(sock, client.loop_read)

    def misc() -> None:
        client.loop_misc()
        loop.call_later(1.0, misc)

    misc()
    return client


async def run(ports: list[int], registers: int, broker: int) -> None:
    """Poll at each whole second of the monotonic clock, for ever."""
    client = attached(broker)
    devices = [AsyncModbusTcpClient("127.0.0.1", port=port) for port in ports]
    for device in devices:
        await device.connect()

    async def read(number: int) -> tuple[int, Sequence[int]]:
        answer = await devices[number].read_holding_registers(0, count=registers, device_id=1)
        return number, answer.registers

    while True:
        await asyncio.sleep(INTERVAL_S - time.monotonic() % INTERVAL_S)
        values = await asyncio.gather(*map(read, range(len(devices))))
        client.publish(TOPIC, zlib.compress(msgspec.json.encode(values), 1), qos=1)


if __name__ == "__main__":
    asyncio.run(run(**json.loads(Path(sys.argv[1]).read_text())))
