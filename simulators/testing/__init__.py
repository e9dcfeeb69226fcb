"""The simulators for tests in Python: a bench with devices, a broker, an IOC and faults, beside the test.

`Bench` is all of it, without pytest; `simulators.pytest_plugin` makes fixtures of it. Everything runs in a thread of
its own, so that a test may be written with or without asyncio, and every method may be called from the test.
"""

from simulators.brokers.certificates import Authority, Pair, self_signed
from simulators.brokers.mosquitto import BrokerOptions
from simulators.faults.fault import BadFault, Fault, make_fault, parse_fault
from simulators.modbus.image import Counter, RegisterImage
from simulators.mqtt.client import BrokerDown, Message, Will
from simulators.processes import ChildFailed
from simulators.scripted_broker import Connack, ScriptedBroker
from simulators.testing.bench import Bench
from simulators.testing.brokers import BenchBroker
from simulators.testing.clients import BenchClient
from simulators.testing.devices import SimulatedDevice
from simulators.testing.faults import FaultBoard
from simulators.testing.iocs import BenchIoc, Event, Reading
from simulators.testing.lines import SimulatedLine
from simulators.testing.makers import MakeModbusDevice, MakeSerialDevice
from simulators.testing.raw_lines import RawLine
from simulators.testing.site_processes import SiteProcess
from simulators.testing.sites import SimulatedSite
from simulators.testing.ways import Way
from simulators.values import BadValue
from simulators.world import Exchange, Served

__all__ = [
    "Authority",
    "BadFault",
    "BadValue",
    "Bench",
    "BenchBroker",
    "BenchClient",
    "BenchIoc",
    "BrokerDown",
    "BrokerOptions",
    "ChildFailed",
    "Connack",
    "Counter",
    "Event",
    "Exchange",
    "Fault",
    "FaultBoard",
    "MakeModbusDevice",
    "MakeSerialDevice",
    "Message",
    "Pair",
    "RawLine",
    "Reading",
    "RegisterImage",
    "ScriptedBroker",
    "Served",
    "SimulatedDevice",
    "SimulatedLine",
    "SimulatedSite",
    "SiteProcess",
    "Way",
    "Will",
    "make_fault",
    "parse_fault",
    "self_signed",
]
