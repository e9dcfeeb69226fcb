"""The simulators for tests in Python: a bench with devices, a broker, an IOC and faults, beside the test.

`Bench` is all of it, without pytest; `simulators.pytest_plugin` makes fixtures of it. Everything runs in a thread of
its own, so that a test may be written with or without asyncio, and every method may be called from the test.
"""

from simulators.faults.fault import BadFault, Fault, make_fault, parse_fault
from simulators.modbus.image import Counter, RegisterImage
from simulators.testing.bench import Bench
from simulators.testing.brokers import BenchBroker, Way
from simulators.testing.devices import SimulatedDevice
from simulators.testing.faults import FaultBoard
from simulators.testing.iocs import BenchIoc, Event, Reading
from simulators.testing.lines import SimulatedLine
from simulators.testing.makers import MakeModbusDevice, MakeSerialDevice
from simulators.testing.raw_lines import RawLine
from simulators.testing.sites import SimulatedSite
from simulators.testing.subscribers import Message, Subscriber
from simulators.values import BadValue
from simulators.world import Exchange, Served

__all__ = [
    "BadFault",
    "BadValue",
    "Bench",
    "BenchBroker",
    "BenchIoc",
    "Counter",
    "Event",
    "Exchange",
    "Fault",
    "FaultBoard",
    "MakeModbusDevice",
    "MakeSerialDevice",
    "Message",
    "RawLine",
    "Reading",
    "RegisterImage",
    "Served",
    "SimulatedDevice",
    "SimulatedLine",
    "SimulatedSite",
    "Subscriber",
    "Way",
    "make_fault",
    "parse_fault",
]
