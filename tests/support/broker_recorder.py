"""A client beside the others that keeps every message as the broker passes it on, with its QoS and its retain flag."""

import threading
from typing import NamedTuple

import paho.mqtt.client as paho
from contract_check import definition_of, faults_of, flags_of
from paho.mqtt.subscribeoptions import SubscribeOptions


class Recorded(NamedTuple):
    """One message, as it was published."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Recorder:
    """Subscribes to everything.

    On MQTT 3.1.1 the retain flag of what is published is not passed on, and the embedded broker delivers with the QoS
    of the subscription: there neither is checked.
    """

    def __init__(self, port: int, protocol: str = "5") -> None:
        self.messages: list[Recorded] = []
        self._version_5 = protocol == "5"
        version = paho.MQTTv5 if self._version_5 else paho.MQTTv311
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=version, client_id="recorder")
        self._client.reconnect_delay_set(1, 1)
        granted = threading.Event()
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: granted.set()
        self._client.on_message = self._keep
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert granted.wait(10), "the broker does not answer SUBSCRIBE"

    def stop(self) -> list[Recorded]:
        self._client.disconnect()
        self._client.loop_stop()
        return self.messages

    def check(self) -> set[str]:
        """Nothing was published that the contract forbids; gives the definitions of what was."""
        faults = [fault for message in self.messages for fault in self._faults(message)]
        assert faults == [], faults[:3]
        return {definition_of(message.topic) or "blob" for message in self.messages}

    def _faults(self, message: Recorded) -> list[str]:
        qos, retain = message.qos, message.retain
        if not self._version_5:
            qos, retain = flags_of(message.topic)
        return faults_of(message.topic, message.payload, qos, retain=retain)

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        if self._version_5:
            client.subscribe("#", options=SubscribeOptions(qos=2, retainAsPublished=True))  # type: ignore[no-untyped-call]
        else:
            client.subscribe("#", qos=2)

    def _keep(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.messages.append(Recorded(message.topic, bytes(message.payload), message.qos, message.retain))
