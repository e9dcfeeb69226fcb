"""MQTT over paho: the only home of paho in the agent. `connect` opens one connection."""

from agent.uplink.mqtt.options import Limits, MqttOptions, Will, broker_address
from agent.uplink.mqtt.session import MqttSession, connect

__all__ = ["Limits", "MqttOptions", "MqttSession", "Will", "broker_address", "connect"]
