"""How to reach the broker, what it says when we vanish, and what it allows."""

from typing import Final, Literal

import msgspec

from agent.settings import Settings, UplinkSettings

LARGEST_HEAD_BYTES: Final = 18
"""The most that a PUBLISH has beside topic and payload: type 1, length 4, length of topic 2, packet id 2, length of
properties 1, Message Expiry Interval 5, Topic Alias 3 (MQTT 5, 3.3)."""


class Will(msgspec.Struct, frozen=True):
    """What the broker says for us, retained, when we vanish and are not back within `WILL_DELAY_S`."""

    topic: str
    payload: bytes


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the broker. Files are read at each connection, so a renewed certificate is taken up.

    `frequent`: topics that are worth an alias, the most frequent first.
    `takes_messages`: False for a visitor, who acknowledges nothing; the broker gives it to the next connection again.
    """

    host: str
    port: int
    client_id: str
    will: Will
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 60
    connect_timeout_s: float = 10.0
    transport: Literal["tcp", "websockets"] = "tcp"
    path: str = "/mqtt"
    tls: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    frequent: tuple[str, ...] = ()
    takes_messages: bool = True

    @classmethod
    def of(cls, settings: Settings, will: Will, frequent: tuple[str, ...] = ()) -> "MqttOptions":
        """What the settings say."""
        uplink = settings.uplink
        return cls(
            host=uplink.host,
            port=uplink.port,
            client_id=settings.gateway.id,
            will=will,
            protocol=uplink.protocol,
            keepalive_s=uplink.keepalive_s,
            connect_timeout_s=uplink.connect_timeout_s,
            transport=uplink.transport,
            path=uplink.path,
            tls=uplink.tls,
            ca_file=uplink.ca_file,
            cert_file=uplink.cert_file,
            key_file=uplink.key_file,
            username=uplink.username,
            password_file=uplink.password_file,
            frequent=frequent,
        )

    @property
    def broker(self) -> str:
        """Its address, for people."""
        return broker_address(self)

    @property
    def files(self) -> tuple[str, ...]:
        """What is read from disk at each connection."""
        files = (self.ca_file, self.cert_file, self.key_file) if self.tls else ()
        return tuple(file for file in (*files, self.password_file) if file)


def broker_address(uplink: MqttOptions | UplinkSettings) -> str:
    """The address of a broker, for people."""
    web = uplink.transport == "websockets"
    scheme = ("wss" if uplink.tls else "ws") if web else ("mqtts" if uplink.tls else "mqtt")
    return f"{scheme}://{uplink.host}:{uplink.port}{uplink.path if web else ''}"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker allows, from its CONNACK (MQTT 5, 3.2.2.3). `maximum_packet_size` is None without a limit."""

    receive_maximum: int = 65_535
    maximum_packet_size: int | None = None
    topic_alias_maximum: int = 0
    server_keep_alive_s: int | None = None

    def max_payload_bytes(self, topic: str) -> int | None:
        """What fits into one message on `topic`; None without a limit."""
        if self.maximum_packet_size is None:
            return None
        return self.maximum_packet_size - len(topic.encode()) - LARGEST_HEAD_BYTES
