"""Where a broker is, and with what a client identifies itself there. Pure."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Protocol = Literal["5", "3.1.1"]


@dataclass(frozen=True)
class BrokerAddress:
    """`mqtt://[user@]host[:port]`, or `mqtts://` with the CA of the machine or of a file, and our own certificate."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    ca_file: str | None = None
    password: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(url: str) -> BrokerAddress:
    """Read a broker URL; raises `ValueError` that says how to write it."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError(f"{url} is no broker: write mqtt://HOST:PORT or mqtts://HOST:PORT")
    if parts.password:
        raise ValueError("a password may not stand in the URL: use --password-file")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(parts.hostname, parts.port or (8883 if tls else 1883), tls, parts.username)
