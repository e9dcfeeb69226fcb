"""A small gateway: reads a meter over Modbus TCP and publishes what it says over MQTT. It has a bug, for the tests.

Usage: python gateway.py METER_HOST:PORT BROKER_HOST:PORT
"""

import itertools
import json
import socket
import struct
import sys
import time

import paho.mqtt.client as mqtt

REGISTERS = {"voltage": 0, "current": 6, "power": 12}  # input registers of an Eastron SDM120, two for a float


def connect():
    host, port = sys.argv[1].split(":")
    return socket.create_connection((host, int(port)), timeout=0.5)


def ask(meter, number, register):
    meter.sendall(struct.pack(">HHHBBHH", number, 0, 6, 1, 4, register, 2))
    answer = b""
    while len(answer) < 13:
        answer += meter.recv(13 - len(answer)) or sys.exit("the meter has hung up")
    return struct.unpack(">f", answer[9:])[0]


broker_host, broker_port = sys.argv[2].split(":")
broker = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
broker.connect(broker_host, int(broker_port))
broker.loop_start()
meter, numbers = connect(), itertools.count()
while True:
    for point, register in REGISTERS.items():
        try:
            value = ask(meter, next(numbers) % 65536, register)
        except TimeoutError:
            pass  # with the next question
        else:
            broker.publish(f"meters/meter-1/{point}", json.dumps({"value": value, "time": time.time()}), qos=1)
    time.sleep(0.2)
