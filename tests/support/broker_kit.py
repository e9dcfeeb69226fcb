"""The broker kit of docs/broker/ on this machine: its certificates, and a real broker with the configuration it ships."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from simulators.testing import Bench, BenchIoc, BrokerOptions

KIT = Path(__file__).parents[2] / "docs" / "broker"
GATEWAYS = ("prove-a", "prove-b")


def script(name: str) -> ModuleType:
    """A script of the kit as a module; nothing is written beside it."""
    loader = SourceFileLoader(name.replace("-", "_"), str(KIT / name))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = sys.modules[loader.name] = module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


_ONE_UMASK = threading.Lock()
"""make-certs sets that of the process; two threads at once would leave it to all tests that follow."""


class Certificates:
    """A folder that make-certs fills. Its clock stands where a test puts it."""

    def __init__(self, folder: Path) -> None:
        self.pki = folder
        self.script = script("make-certs")

    def make(self, *arguments: str) -> None:
        """Run make-certs; it must succeed."""
        with _ONE_UMASK:
            umask = os.umask(0o022)
            try:
                assert self.script.main(["--pki", str(self.pki), *arguments]) == 0
            finally:
                os.umask(umask)

    @contextmanager
    def days_ago(self, days: float) -> Iterator[None]:
        self.script.now = lambda: datetime.now(UTC) - timedelta(days=days)
        try:
            yield
        finally:
            self.script.now = lambda: datetime.now(UTC)

    @property
    def broker(self) -> Path:
        return self.pki / "brokers" / "localhost"

    def revoked(self, name: str) -> Path:
        """The folder of what was revoked."""
        (found,) = (self.pki / "revoked").glob(f"*-{name}-*")
        return found


def site_certificates(folder: Path) -> Certificates:
    """A CA, the broker `localhost`, two gateways, the services of the IOC."""
    made = Certificates(folder)
    made.make("ca")
    made.make("broker", "localhost", "127.0.0.1", "::1")
    for name in GATEWAYS:
        made.make("gateway", name)
    made.make("service", "ioc-ingest")
    made.make("service", "ioc-command")
    return made


class KitBroker:
    """A broker as the kit ships it: nothing but paths, user and port is changed in its configuration."""

    def __init__(self, bench: Bench, folder: Path, certificates: Certificates) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._broker = bench.broker(start=False)
        self.port = self._broker.port
        self.acl = (KIT / "acl").read_text(encoding="ascii")
        self.config = shipped(folder, self.port)
        for name in ("certs", "lib"):
            (folder / name).mkdir()
        for name in ("ca.pem", "cert.pem", "key.pem"):
            self.install(certificates.broker / name)
        self.install(certificates.pki / "crl.pem")

    @property
    def address(self) -> tuple[str, int]:
        return "localhost", self.port

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8")

    def install(self, *files: Path, name: str = "") -> None:
        """Put a file beside the broker; several are put into one, as a bundle."""
        data = b"".join(file.read_bytes() for file in files)
        (self.folder / "certs" / (name or files[0].name)).write_bytes(data)

    def ioc(self, bench: Bench, pki: Path, *options: str) -> BenchIoc:
        """The reference IOC with the certificate of the ingest."""
        own = pki / "services" / "ioc-ingest"
        files = (f"--{name}-file={own / name}.pem" for name in ("ca", "cert", "key"))
        return bench.ioc(self._broker, *files, *options, url=f"mqtts://localhost:{self.port}")

    def start(self) -> None:
        (self.folder / "acl").write_text(self.acl, encoding="ascii")
        self._broker.change(BrokerOptions(config=self.config))
        self._broker.start()

    def stop(self) -> None:
        """End it in order: what it has to keep is saved."""
        self._broker.stop()

    def kill(self) -> None:
        self._broker.kill()

    def reload(self) -> None:
        self._broker.reload()


def shipped(folder: Path, port: int) -> str:
    """The configuration of the kit, for a folder and a port of this machine."""
    lines = (KIT / "mosquitto.conf").read_text(encoding="ascii").splitlines()
    return "\n".join(line if line.startswith("#") else _for_here(line, folder, port) for line in lines) + "\n"


def _for_here(line: str, folder: Path, port: int) -> str:
    ways = {"/etc/mosquitto/": folder, "/var/lib/mosquitto/": folder / "lib", "/var/log/mosquitto/": folder}
    for way, here in ways.items():
        line = line.replace(way, f"{here}/")
    return {"user mosquitto": "user root", "listener 8883": f"listener {port} 127.0.0.1"}.get(line, line)
