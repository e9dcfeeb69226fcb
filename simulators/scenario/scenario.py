"""One scenario as it was read: all names known, all addresses real."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from drivers.api import Value
from simulators.faults.fault import Fault
from simulators.scenario.arriving import Arrives
from simulators.scenario.evidence import DeviceFacts
from simulators.scenario.expectations import Expectation
from simulators.site.reading import Site

Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000, examples=[30.0])]
SecondsOrZero = Annotated[float, msgspec.Meta(ge=0, le=10_000_000, examples=[0.0])]
Where = Literal["site", "uplink", "host"]


class ScenarioKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[scenario]`. After `seconds` uplink and host are well again (`heal`), the gateway runs on for `settle_s`, is
    told to end by SIGTERM, and has `stop_s` for it; then `arrive_s` at most for what is still on its way. `short_s`:
    how short `seconds` may be made for a scenario that still means something.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, examples=["One dead device of ten"])]
    seconds: Seconds
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    about: str = ""
    field: str = ""
    settle_s: SecondsOrZero = 3.0
    heal: bool = True
    stop_s: Seconds = 30.0
    arrive_s: SecondsOrZero = 10.0
    short_s: Seconds | None = None
    nothing_wrong: bool = True
    runs: bool = True

    @property
    def length_s(self) -> float:
        """How long the gateway runs before it is told to end."""
        return self.seconds + self.settle_s


class IocKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[ioc]`: how the reference IOC acknowledges."""

    ack: bool = True
    ack_every_s: Seconds = 1.0


Tls = Literal["off", "good", "wrong_ca", "wrong_name", "expired", "not_yet_valid"]


class BrokerKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[broker]`: how it shows who it is, and the largest packet that it takes."""

    tls: Tls = "off"
    max_packet_bytes: Annotated[int, msgspec.Meta(ge=100, le=268_435_455, examples=[65_536])] | None = None


class HostKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[host]`: the machine that the gateway runs on. `disk_mb`: the size of its disk, in 10^6 bytes."""

    disk_mb: Annotated[float, msgspec.Meta(gt=0, le=100_000, examples=[50.0])] = 64.0


class ValuesKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[values]`: what devices measure, from a CSV file beside the scenario: `time_s,device,point,value`."""

    file: Annotated[str, msgspec.Meta(min_length=1, examples=["values.csv"])]
    interpolate: bool = False
    loop: bool = False


class FileKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[[file]]`: written into the work folder before the gateway starts, with its placeholders filled in."""

    path: Annotated[str, msgspec.Meta(min_length=1, examples=["gateway.json"])]
    text: str


class DoKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[[do]]`: a shell command on the gateway's machine at `at_s`; without it before the gateway starts."""

    run: Annotated[str, msgspec.Meta(min_length=1, examples=["rm {data}/queue.db"])]
    at_s: SecondsOrZero | None = None


class SetKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`[[set]]`: from `at_s` on the device measures this value."""

    at_s: SecondsOrZero
    point: Annotated[
        str, msgspec.Meta(pattern=r"^[^.]+.*\.[^.]+$", description="DEVICE.POINT", examples=["meter-1.voltage"])
    ]
    value: Value

    @property
    def device(self) -> str:
        return self.point.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The point, without its device."""
        return self.point.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`agent` is what an `agent.toml` for this site says; `addresses` are those of the links, in words."""

    file: Path
    keys: ScenarioKeys
    site: Site
    devices: Mapping[str, DeviceFacts]
    addresses: Mapping[str, str]
    agent: Mapping[str, Any]
    expect: Sequence[Expectation]
    faults: Mapping[Where, Sequence[Fault]] = field(default_factory=dict)
    sets: Sequence[SetKeys] = ()
    do: Sequence[DoKeys] = ()
    files: Sequence[FileKeys] = ()
    arrives: Arrives | None = None
    values: ValuesKeys | None = None
    ioc: IocKeys = field(default_factory=IocKeys)
    host: HostKeys = field(default_factory=HostKeys)
    broker: BrokerKeys = field(default_factory=BrokerKeys)

    @property
    def name(self) -> str:
        return self.keys.name

    def on(self, where: Where) -> Sequence[Fault]:
        """The faults of one place, in the order of the file."""
        return self.faults.get(where, ())
