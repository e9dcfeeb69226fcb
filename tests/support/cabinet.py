"""A street cabinet for the technician's guides: a bare gateway booted without network, a stick, a bus, an IOC.

In the machine of `booted_systemd`: the user `pi` with a `sudo` that asks for no password; `/mnt` is the stick with the
bundles, and with what the IOC gave for this gateway; a USB adapter as `/sys`, `/dev` and udev would show it, with two
simulated devices on its bus; `ioc.example.vn` is this machine: mosquitto as the broker kit ships it, and the reference
IOC behind it. What happens to the cabinet (`happens`) has names, which the pages use.
"""

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

from booted_systemd import Machine
from broker_kit import KIT, Certificates
from bundles import altered, built_wheel, bundled
from processes import wait_until

import agent
from drivers.catalogue import shipped_profiles

GATEWAY, BROKER, VERSION, NEXT = "dng-hc-01", "ioc.example.vn", "0.1.0", "0.2.0"
ADAPTER = "usb-FTDI_FT232R_USB_UART_A10K1234-if00-port0"
SIM = "/opt/simulators"
USB = {
    "idVendor": "0403", "idProduct": "6001", "manufacturer": "FTDI", "product": "FT232R USB UART", "serial": "A10K1234",
}  # fmt: skip
BUS = """\
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
port = "/run/cabinet/bus-1"
[[device]]
name = "meter-1"
link = "bus-1"
unit = 1
profile = "eastron/sdm120"
[[device]]
name = "climate-1"
link = "bus-1"
unit = 2
profile = "xy/md02"
"""
LAUNCHER = f"""\
#!/bin/sh
export LD_LIBRARY_PATH={SIM}/python/lib PYTHONPATH={SIM}/code:{SIM}/site
exec {SIM}/python/bin/python{sys.version_info[0]}.{sys.version_info[1]} -m simulators "$@"
"""
SUDO = """\
#!/bin/sh
exec /usr/local/libexec/rootshell -p -c 'exec setpriv --reuid=0 --regid=0 --clear-groups -- "$@"' sudo "$@"
"""
PREPARE = f"""\
set -e
useradd --create-home --shell /bin/bash --groups dialout pi
mkdir -p /usr/local/libexec /run/cabinet /etc/mosquitto/certs /dev/serial/by-id
ln -s {SIM}/profiles /run/cabinet/profiles  # a wheel has them where this Python does not look
install -m 4755 /bin/bash /usr/local/libexec/rootshell
echo "127.0.0.1 localhost {BROKER}" > /etc/hosts
hostname {GATEWAY}
mount -t tmpfs -o mode=755 tmpfs /mnt
cp -r /opt/stick/. /mnt/
chown -R pi /mnt
install -o mosquitto -g mosquitto -m 400 /opt/kit/acl /etc/mosquitto/acl
for file in ca.pem cert.pem key.pem; do
  install -o mosquitto -g mosquitto -m 400 /opt/pki/brokers/{BROKER}/$file /etc/mosquitto/certs/$file
done
install -o mosquitto -g mosquitto -m 400 /opt/pki/crl.pem /etc/mosquitto/certs/crl.pem
install -m 644 /opt/kit/mosquitto.conf /etc/mosquitto/mosquitto.conf
install -d -o mosquitto -g mosquitto /run/mosquitto /var/lib/mosquitto /var/log/mosquitto
mount -t tmpfs tmpfs /sys/class/tty
mkdir -p /run/sys/usb1/1-1.2/1-1.2:1.0/ttyUSB0 /run/sys/drivers/ftdi_sio /sys/class/tty/ttyUSB0
ln -s /run/sys/drivers/ftdi_sio /run/sys/usb1/1-1.2/1-1.2:1.0/ttyUSB0/driver
ln -s /run/sys/usb1/1-1.2/1-1.2:1.0/ttyUSB0 /sys/class/tty/ttyUSB0/device
"""
PLUG_IN = f"""\
port=$(readlink -f /run/cabinet/bus-1)
chgrp dialout "$port" && chmod 660 "$port"
ln -sfn /run/cabinet/bus-1 /dev/ttyUSB0
ln -sfn ../../ttyUSB0 /dev/serial/by-id/{ADAPTER}
"""
BUS_PORT = "/run/cabinet/bus-1"
CONTROL = "/run/cabinet/control"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Stick:
    """What is on the USB stick: bundles of this version and of the next, and the files from the IOC."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pki = folder / "stick", folder / "pki"
        self.folder.mkdir()
        wheel = built_wheel(folder)
        for one in (wheel, altered(wheel, folder, NEXT, {})):
            bundled(one, self.folder)
        sums = subprocess.run(
            ["sha256sum", *sorted(path.name for path in self.folder.glob("*.tar.gz"))],
            cwd=self.folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
        (self.folder / "SHA256SUMS").write_text(sums.stdout, encoding="ascii")
        made = Certificates(self.pki)
        for words in (("ca",), ("broker", BROKER), ("gateway", GATEWAY), ("service", "ioc-ingest")):
            made.make(*words)
        own = self.pki / "gateways" / GATEWAY
        own.chmod(0o755)
        (self.folder / GATEWAY).mkdir()
        for file in own.glob("*.pem"):
            (self.folder / GATEWAY / file.name).write_bytes(file.read_bytes())


class Cabinet:
    """One gateway, from bare to working; `close` takes everything with it."""

    def __init__(self, folder: Path, stick: Stick) -> None:
        folder.mkdir(parents=True)
        code, site = Path(agent.__file__).parent.parent, Path(sysconfig.get_path("purelib"))
        mounted = {Path(sys.base_prefix): "python", code: "code", site: "site", shipped_profiles(): "profiles"}
        places = {source: f"{SIM.lstrip('/')}/{place}" for source, place in mounted.items()}
        places |= {stick.folder: "opt/stick", stick.pki: "opt/pki", KIT: "opt/kit"}
        self._others: dict[str, subprocess.Popen[bytes]] = {}
        self.machine = Machine(folder, mounted=places)
        try:
            self._furnish()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Everything in it ends."""
        for process in self._others.values():
            process.kill()
            process.wait(20)
        self.machine.close()

    def _furnish(self) -> None:
        machine = self.machine
        machine.write("/usr/local/bin/oc-sim", LAUNCHER, "755")
        machine.write("/usr/local/bin/sudo", SUDO, "755")
        machine.run("bash", "-c", PREPARE)
        for name, text in USB.items():
            machine.write(f"/run/sys/usb1/1-1.2/{name}", text + "\n")
        machine.write("/run/cabinet/bus.toml", BUS)
        self.starts("bus", "oc-sim", "run", "--config", "/run/cabinet/bus.toml", "--control", CONTROL)
        self.starts("broker", "/usr/sbin/mosquitto", "-c", "/etc/mosquitto/mosquitto.conf")
        self.plug_in()
        own = "/opt/pki/services/ioc-ingest"
        files = [word for name in ("ca", "cert", "key") for word in (f"--{name}-file", f"{own}/{name}.pem")]
        self.starts("ioc", "oc-sim", "ioc", "--broker", f"mqtts://{BROKER}:8883", *files)

    def starts(self, name: str, *command: str) -> None:
        """Something beside the gateway: in its files and its network, and not among its processes."""
        enter = ["nsenter", "-t", str(self.machine.init), "-m", "-n", "-u", "-i", "--wd=/", "--"]
        self._others[name] = subprocess.Popen(
            [*enter, "env", "-i", f"PATH={PATH}", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ends(self, name: str) -> None:
        """One of them."""
        process = self._others.pop(name)
        process.terminate()
        process.wait(20)

    def happens(self, event: str) -> None:
        """One thing of `EVENTS`."""
        EVENTS[event](self)

    def plug_in(self) -> None:
        """The adapter where it belongs; its port is that of the group `dialout`, as everywhere."""
        if self.machine.done("test", "-e", "/dev/ttyUSB0").returncode:
            self.machine.done("oc-sim", "tell", CONTROL, "heal")
        wait_until(lambda: not self.machine.done("test", "-e", BUS_PORT).returncode, 20, "the bus is there")
        self.machine.run("bash", "-c", PLUG_IN)

    def pull_out(self) -> None:
        """The names are gone, and the port hangs up."""
        self.machine.run("rm", f"/dev/serial/by-id/{ADAPTER}", "/dev/ttyUSB0")
        self.tell("fault", "unplug on=bus-1")

    def tell(self, *words: str) -> None:
        """To the simulated devices."""
        self.machine.run("oc-sim", "tell", CONTROL, *words)

    def empty(self, script: str = "") -> None:
        """A fresh system, as on a new card; what others have in the cabinet stays."""
        self.machine.run("bash", "-c", EMPTY + script)

    def is_made_to_work(self) -> None:
        """As the page of the first ten minutes does it, with nobody there to ask."""
        self.empty(AS_GIVEN)
        self.machine.run("bash", "-c", INSTALLED)
        self.has_no_time_server()
        self.machine.run("oc-agent", *CONFIGURED)
        self.machine.run("systemctl", "start", "oc-agent")

    def has_no_time_server(self) -> None:
        """The clock of the computer of the test is not set by one, and readings would wait for it."""
        self.machine.write("/etc/oc-agent/conf.d/clock.toml", "[clock]\nhold_unsynced_s = 0\n")

    def gets_an_old_card(self) -> None:
        """The card of a dead gateway, with what this one has."""
        self.machine.run("bash", "-c", OLD_CARD)

    def broker_stops(self) -> None:
        """For the rest of the page."""
        self.ends("broker")


EMPTY = """\
test ! -e /opt/oc-agent || /opt/oc-agent/install.sh --uninstall --purge --yes >/dev/null
rm -rf /home/pi/* /home/pi/.terminal* /etc/systemd/timesyncd.conf.d
"""
INSTALLED = f"""\
cd /run && tar xzf /mnt/oc-agent-{VERSION}-{platform.machine()}.tar.gz
oc-agent-{VERSION}-{platform.machine()}/install.sh
install -g oc-agent -m 640 /mnt/{GATEWAY}/*.pem /etc/oc-agent/
"""
CONFIGURED = (
    "init", "--yes", "--gateway-id", GATEWAY, "--oc", "oc-haichau", "--broker", f"mqtts://{BROKER}",
    *(word for name in ("ca", "cert", "key") for word in (f"--{name}", f"/etc/oc-agent/{name}.pem")),
    "--link", f"bus-1=rtu:/dev/serial/by-id/{ADAPTER},9600", "--device", "meter-1=bus-1,1,eastron/sdm120,10s",
)  # fmt: skip
AS_GIVEN = "rm -rf /mnt/* && cp -r /opt/stick/. /mnt/ && chown -R pi /mnt\n"
OLD_CARD = """\
mkdir -p /media/card/var/lib/oc-agent
cp /var/lib/oc-agent/outbox.db* /media/card/var/lib/oc-agent/
"""
EVENTS = {
    "a bare gateway": lambda cabinet: cabinet.empty(AS_GIVEN),
    "a new card": Cabinet.empty,
    "a gateway that works": Cabinet.is_made_to_work,
    "no time server": Cabinet.has_no_time_server,
    "climate-1 is silent": lambda cabinet: cabinet.tell("fault", "no_reply on=climate-1"),
    "climate-1 answers": lambda cabinet: cabinet.tell("heal"),
    "the adapter is pulled out": Cabinet.pull_out,
    "the adapter is plugged in": Cabinet.plug_in,
    "the broker stops": Cabinet.broker_stops,
    "the old card is in a reader": Cabinet.gets_an_old_card,
}
"""What the pages say that happens, in a comment before a block."""
