"""The configuration of the demonstration: seven shipped profiles, on ptys and free ports of this machine."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.brokers.broker import Broker
from simulators.endpoints import free_port

RAM_DISK = Path("/dev/shm")  # noqa: S108 - only private folders made by mkdtemp go there

_CONFIG = """\
[gateway]
id = "demo-gateway"
data_dir = "{folder}/data"
runtime_dir = "{runtime}"

[site]
oc = "oc-demo"
name = {{ vi = "OC thử nghiệm", en = "Demo OC" }}
location = [108.2208, 16.0678]

[uplink]
host = "{broker.host}"
port = {broker.port}
protocol = "{broker.protocol}"
tls = false
keepalive_s = 10

[clock]
hold_unsynced_s = 0          # a container or a laptop may never say that its clock is synchronised

[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
port = "{folder}/ports/bus-1"
baud = 9600

[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {ups_port}

[[link]]
name = "thermal"
kind = "modbus"
transport = "rtu-over-tcp"
host = "127.0.0.1"
tcp_port = {thermal_port}

[[link]]
name = "weather"
kind = "serial"
port = "{folder}/ports/weather"
baud = 4800

[[link]]
name = "dust"
kind = "serial"
port = "{folder}/ports/dust"
baud = 9600
warm_up_s = 0                        # the simulated sensor needs none

[[link]]
name = "gate"
kind = "camera"
port = "{folder}/ports/gate"
baud = 115200

[[device]]
name = "meter-1"
link = "bus-1"
unit = 1
profile = "eastron/sdm120"
interval_s = 2.0
label = {{ vi = "Điện kế tủ 1", en = "Meter, cabinet 1" }}

[[device]]
name = "climate-1"
link = "bus-1"
unit = 2
profile = "xy/md02"
interval_s = 2.0

[[device]]
name = "ups-1"
link = "ups"
unit = 1
profile = "apc/smart-ups"
interval_s = 1.0

[[device]]
name = "thermal-1"
link = "thermal"
unit = 1
profile = "infiray/at20"
interval_s = 1.0

[[device]]
name = "weather-1"
link = "weather"
profile = "nmea/weather-station"
interval_s = 1.0

[[device]]
name = "dust-1"
link = "dust"
profile = "plantower/pms5003"
interval_s = 1.0

[[device]]
name = "gate-cam"
link = "gate"
profile = "vimicro/vc0706"
interval_s = 5.0
picture = {{ purpose = "flood-verification", class = "possible", keep_days = 1, interval_s = 10 }}
"""


@dataclass(frozen=True)
class DemoFolder:
    """Where everything of one demonstration is: `folder` on the disk, `runtime` on the RAM disk where there is one."""

    folder: Path
    runtime: Path

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def truth(self) -> Path:
        return self.folder / "served.jsonl"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def database(self) -> Path:
        return self.folder / "ioc.db"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def write_config(self, broker: Broker) -> None:
        """Write `agent.toml` with ports that are free now."""
        text = _CONFIG.format(
            folder=self.folder, runtime=self.runtime, broker=broker, ups_port=free_port(), thermal_port=free_port()
        )
        self.config.write_text(text, encoding="utf-8")


@contextmanager
def demo_folder(*, keep: bool) -> Iterator[DemoFolder]:
    """Temporary folders, removed at the end unless `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="oc-demo-"))
    runtime = Path(tempfile.mkdtemp(prefix="oc-demo-", dir=RAM_DISK if RAM_DISK.is_dir() else None))
    try:
        yield DemoFolder(folder, runtime)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(runtime, ignore_errors=True)
