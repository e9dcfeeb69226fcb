"""MQTT over paho: the only home of paho in the agent. `connect` opens one connection."""

from agent.lazily import later

later("urllib.request")  # paho wants it for SOCKS proxies only; with `http` and `email` behind it, it is 2.5 MB

from agent.uplink.mqtt.options import Limits, MqttOptions, Will, broker_address  # noqa: E402
from agent.uplink.mqtt.session import MqttSession, connect  # noqa: E402

__all__ = ["Limits", "MqttOptions", "MqttSession", "Will", "broker_address", "connect"]
