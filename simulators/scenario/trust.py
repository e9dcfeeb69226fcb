"""The broker of a scenario as it shows itself: a second port that speaks TLS, with a certificate that is good or not.

The tester's own subscriber and the IOC use the plain port.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from simulators.brokers.broker import find_mosquitto
from simulators.brokers.certificates import Authority, Pair
from simulators.endpoints import free_port
from simulators.host import HostCannot
from simulators.scenario.scenario import BrokerKeys

HERE: Final = "IP:127.0.0.1"
ELSEWHERE: Final = "IP:192.0.2.1, DNS:ioc.example.org"


@dataclass(frozen=True)
class Show:
    """`more` are lines for mosquitto; `port` speaks TLS (0: there is none), and `ca_file` is what a gateway trusts."""

    more: str = ""
    port: int = 0
    ca_file: Path | None = None


def make_show(keys: BrokerKeys, folder: Path) -> Show:
    """Certificates in `folder`, and how the broker is told; raises `HostCannot`."""
    more = f"max_packet_size {keys.max_packet_bytes}\n" if keys.max_packet_bytes else ""
    if keys.tls == "off" and not more:
        return Show()
    if find_mosquitto() is None:
        raise HostCannot("[broker] needs mosquitto: `apt-get install mosquitto`")
    if keys.tls == "off":
        return Show(more)
    if not shutil.which("openssl"):
        raise HostCannot("[broker] tls needs openssl(1): `apt-get install openssl`")
    folder.mkdir()
    city = Authority(folder / "city", "City CA")
    pair = _PAIRS[keys.tls](city, folder)
    port = free_port()
    more += f"listener {port} 127.0.0.1\ncertfile {pair.certificate}\nkeyfile {pair.key}\n"
    return Show(more, port, city.certificate)


def _dated(city: Authority, *, begins_days: float, ends_days: float) -> Pair:
    now = datetime.now(UTC)
    valid = now + timedelta(days=begins_days), now + timedelta(days=ends_days)
    return city.issue("broker", names=HERE, valid=valid)


_PAIRS: Final[Mapping[str, Callable[[Authority, Path], Pair]]] = {
    "good": lambda city, _: city.issue("broker", names=HERE),
    "wrong_ca": lambda _, folder: Authority(folder / "stranger", "Another CA").issue("broker", names=HERE),
    "wrong_name": lambda city, _: city.issue("broker", names=ELSEWHERE),
    "expired": lambda city, _: _dated(city, begins_days=-9, ends_days=-1),
    "not_yet_valid": lambda city, _: _dated(city, begins_days=1, ends_days=9),
}
