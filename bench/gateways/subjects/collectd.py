"""collectd with its modbus and mqtt plugins: C, one request a register, no store."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence

from gateways import payloads
from gateways.serials import Block
from gateways.subjects.api import Launch, Missing, Place, Site, run

PACKAGES = ("collectd-core", "libmodbus5", "libmosquitto1")
THREADS = 20


class Collectd:
    """Unpacked from its Debian package: nothing is installed on the machine."""

    name = "collectd"
    note = "one request a register, a message a value, no store"
    variant = keeps = False
    optional = True

    def install(self, place: Place) -> str:
        self._root = place.prefix / "collectd"
        program, log = self._root / "usr/sbin/collectd", place.prefix / "collectd.log"
        if not program.exists():
            run(["apt-get", "download", *PACKAGES], self._root, log)
            for package in sorted(self._root.glob("*.deb")):
                run(["dpkg", "-x", package, self._root], self._root, log)
        if not program.exists():
            raise Missing("its package has no collectd")
        self._libraries = os.pathsep.join(str(path) for path in sorted(self._root.glob("usr/lib/*-linux-*")))
        asked = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, env=self._environment())
        found = re.search(r"collectd ([\d.]+)", asked.stdout + asked.stderr)
        if not found:
            raise Missing("does not start: " + (asked.stderr.strip().splitlines() or ["it says nothing"])[-1])
        return found[1].rstrip(".")

    def configure(self, site: Site) -> Launch:
        data = "".join(
            f'<Data "r{n}">\nRegisterBase {n}\nRegisterType Uint16\nRegisterCmd ReadHolding\nType gauge\n'
            f'Instance "r{n}"\n</Data>\n'
            for n in range(site.work.registers)
        )
        collect = "".join(f'Collect "r{n}"\n' for n in range(site.work.registers))
        hosts = "".join(
            f'<Host "d{n}">\nAddress "127.0.0.1"\nPort "{port}"\nInterval {site.work.interval_s}\n'
            f'<Slave 1>\nInstance "d{n}"\n{collect}</Slave>\n</Host>\n'
            for n, port in enumerate(site.device_ports[: site.work.devices])
        )
        file = site.card / "collectd.conf"
        file.write_text(
            f'BaseDir "{site.card}"\nPIDFile "{site.card / "pid"}"\nPluginDir "{self._root / "usr/lib/collectd"}"\n'
            f'TypesDB "{self._root / "usr/share/collectd/types.db"}"\nFQDNLookup false\nHostname "bench"\n'
            f"Interval {site.work.interval_s}\nReadThreads {THREADS}\nWriteThreads 1\n"
            f"LoadPlugin modbus\nLoadPlugin mqtt\n<Plugin modbus>\n{data}{hosts}</Plugin>\n"
            f'<Plugin mqtt>\n<Publish "bench">\nHost "127.0.0.1"\nPort {site.broker_port}\nClientId "bench"\n'
            'QoS 1\nPrefix "bench"\nStoreRates false\n</Publish>\n</Plugin>\n'
        )
        return Launch([str(self._root / "usr/sbin/collectd"), "-f", "-C", str(file)], self._environment())

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        return payloads.collectd(topic, payload)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        return ()

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        del topic, payload
        return ()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": self._libraries}
