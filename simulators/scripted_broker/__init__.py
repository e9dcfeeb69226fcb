"""A broker that a test plays, packet by packet, and that fails the test where the client breaks the standard."""

from simulators.scripted_broker.broker import Answer, Check, Connack, ScriptedBroker
from simulators.scripted_broker.link import Link
from simulators.scripted_broker.packets import BadPacket, Connect, Published, Will

__all__ = ["Answer", "BadPacket", "Check", "Connack", "Connect", "Link", "Published", "ScriptedBroker", "Will"]
