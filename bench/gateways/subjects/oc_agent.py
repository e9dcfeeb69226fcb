"""Our agent, from its wheel, in its default configuration but for addresses."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateways import payloads
from gateways.kernel import clock_is_set
from gateways.serials import Block
from gateways.subjects.api import Launch, Missing, Place, Site

IOC_STATE = b'{"v":1,"online":true,"time_ms":%d,"ack":false,"encodings":["json","deflate","rows"]}' % (
    time.time_ns() // 1_000_000
)
"""An IOC that reads rows and does not acknowledge: the broker's PUBACK means delivered, as it does for every peer."""


LOOP = "OC_AGENT_LOOP"
UVLOOP = "import agent.event_loop, uvloop"


class OcAgent:
    """`oc-agent run`; with `batch_interval_s` and the event loop where they are not the default."""

    keeps = True

    def __init__(self, batch_interval_s: float | None = None, *, uvloop: bool = False) -> None:
        self._batch_interval_s, self._uvloop = batch_interval_s, uvloop
        at_once = batch_interval_s is not None
        self.variant = at_once or uvloop
        self.optional = uvloop
        self.name = "oc-agent" + "-at-once" * at_once + "-uvloop" * uvloop
        self.note = "the wheel, default configuration, `tls = false`"
        if at_once:
            self.note += f", `batch_interval_s = {batch_interval_s:g}`"
        if uvloop:
            self.note += f", {LOOP}=uvloop"

    def install(self, place: Place) -> str:
        self._program = (place.wheel_venv / "bin" / "oc-agent").resolve()
        if not self._program.exists():
            raise Missing(f"{self._program} is not there: `make bench` builds it")
        python = self._program.with_name("python")
        if self._uvloop and subprocess.run([python, "-I", "-c", UVLOOP], capture_output=True, check=False).returncode:
            raise Missing("its extra `uvloop` is not there: pip install 'oc-agent[uvloop]'")
        asked = "from importlib.metadata import version; print(version('oc-agent'))"
        return subprocess.run([python, "-I", "-c", asked], capture_output=True, text=True, check=True).stdout.strip()

    def configure(self, site: Site) -> Launch:
        links = "".join(
            f'[[link]]\nname = "l{n}"\nkind = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\ntcp_port = {port}\n'
            for n, port in enumerate(site.device_ports[: site.work.devices])
        )
        devices = "".join(_device(n, f"l{n}", 1, site.work.interval_s) for n in range(site.work.devices))
        return self._launch(site.card, site.ram, site.broker_port, site.work.registers, links + devices)

    def on_serial_line(
        self, folder: Path, port: str, baud: int, broker_port: int, units: int, registers: int
    ) -> Launch:
        """All on one line, each once a second."""
        link = f'[[link]]\nname = "bus"\nkind = "modbus"\ntransport = "rtu"\nport = "{port}"\nbaud = {baud}\n'
        devices = "".join(_device(n, "bus", n + 1, 1.0) for n in range(units))
        return self._launch(folder, folder, broker_port, registers, link + devices)

    def _launch(self, card: Path, ram: Path, broker_port: int, registers: int, links: str) -> Launch:
        (card / "words.toml").write_text(
            'vendor = "Bench"\nmodel = "Words"\nkind = "modbus"\nsource = "bench"\n'
            + "".join(
                f'[[point]]\nname = "r{n}"\ntable = "holding"\naddress = {n}\ntype = "u16"\n' for n in range(registers)
            )
        )
        batch = "" if self._batch_interval_s is None else f"[outbox]\nbatch_interval_s = {self._batch_interval_s}\n"
        # A machine whose clock nobody sets holds readings for a quarter of an hour; that is not what is measured here
        hold = "" if clock_is_set() else "[clock]\nhold_unsynced_s = 0\n"
        data, runtime, file = card / "data", ram / "run", card / "agent.toml"
        data.mkdir(exist_ok=True)
        runtime.mkdir(exist_ok=True)
        file.write_text(
            f'[gateway]\nid = "bench"\ndata_dir = "{data}"\nruntime_dir = "{runtime}"\n[site]\noc = "bench"\n'
            f'[uplink]\nhost = "127.0.0.1"\nport = {broker_port}\ntls = false\n{batch}{hold}{links}'
        )
        return Launch([str(self._program), "--config", str(file), "run"], {LOOP: "uvloop"} if self._uvloop else {})

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        return payloads.oc_agent(topic, payload)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        return (("ocg/v1/ioc/state", IOC_STATE),)

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        del topic, payload
        return ()


def _device(number: int, link: str, unit: int, interval_s: float) -> str:
    return (
        f'[[device]]\nname = "d{number}"\nlink = "{link}"\nunit = {unit}\nprofile = "./words.toml"\n'
        f"interval_s = {interval_s}\n"
    )
