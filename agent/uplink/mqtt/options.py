"""How to reach the broker, what it says when we vanish, and what it allows."""

from typing import Literal

import msgspec


class Will(msgspec.Struct, frozen=True):
    """What the broker says for us, retained, when we vanish and are not back within `WILL_DELAY_S`."""

    topic: str
    payload: bytes


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the broker. Files are read at each connection, so a renewed certificate is taken up.

    `frequent`: topics that are worth an alias, the most frequent first.
    """

    host: str
    port: int
    client_id: str
    will: Will
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 60
    connect_timeout_s: float = 10.0
    tls: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    frequent: tuple[str, ...] = ()

    @property
    def broker(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker allows, from its CONNACK (MQTT 5, 3.2.2.3). `maximum_packet_size` is None without a limit."""

    receive_maximum: int = 65_535
    maximum_packet_size: int | None = None
    topic_alias_maximum: int = 0
    server_keep_alive_s: int | None = None
