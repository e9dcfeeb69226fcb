"""A subscriber of MQTT 3.1.1 that does little else: so that what is measured is the gateway, not who listens.

QoS 0 towards us: the broker of the bench has no limit on what it queues, so nothing is dropped on the way. It can
publish too, at QoS 0, for gateways that want an answer of their platform.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

from gateways.processes import go_first

CONNECT_S = 5.0
_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x82
_KEEP_ALIVE_S = 600
_ROOM = 1 << 18

Heard = Callable[[int, str, bytes], None]
"""Monotonic ns when it was there, topic, payload."""


class Subscriber:
    """Hears every topic of a broker in a thread, from `start` to `stop`."""

    def __init__(self, port: int, heard: Heard) -> None:
        self._port, self._heard = port, heard
        self._thread = threading.Thread(target=self._listen, name="subscriber", daemon=True)
        self.fault: Exception | None = None

    def start(self) -> None:
        """Connect and subscribe. OSError where there is no broker within 5 s."""
        self._socket = _connected(self._port)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options = struct.pack(">H4sBBH", 4, b"MQTT", 4, 2, _KEEP_ALIVE_S)
        self._socket.sendall(packet(_CONNECT, options + text("bench-recorder")))
        self._socket.sendall(packet(_SUBSCRIBE, struct.pack(">H", 1) + text("#") + b"\0"))
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._socket.sendall(packet(_PUBLISH | retain, text(topic) + payload))

    def stop(self) -> None:
        """Hear no more. ValueError where a message could not be read; nothing after it was heard."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        if self.fault:
            raise ValueError(f"a message could not be read: {self.fault!r}") from self.fault

    def _listen(self) -> None:
        go_first(threading.get_native_id())
        heard, received = bytearray(), b" "
        try:
            while received:
                received = self._socket.recv(_ROOM)
                at_ns = time.monotonic_ns()
                heard += received
                used = 0
                for topic, payload, used in published(heard):  # noqa: B007  # where the last whole packet ends
                    self._heard(at_ns, topic, payload)
                del heard[:used]
        except OSError:
            return
        except Exception as fault:  # noqa: BLE001  # told in `stop`, not lost with the thread
            self.fault = fault


def published(heard: bytes | bytearray) -> Iterator[tuple[str, bytes, int]]:
    """(topic, payload, where the packet ends) of each whole packet; topic "" where it is no PUBLISH."""
    at = 0
    while len(heard) >= at + 2:
        length, shift, body = 0, 0, at + 1
        while body < len(heard):
            length |= (heard[body] & 0x7F) << shift
            shift, body = shift + 7, body + 1
            if not heard[body - 1] & 0x80:
                break
        else:
            return
        if len(heard) < body + length:
            return
        kind, at = heard[at], body + length
        if kind & 0xF0 == _PUBLISH:
            size = int.from_bytes(heard[body : body + 2], "big")
            topic = heard[body + 2 : body + 2 + size].decode()
            start = body + 2 + size + (2 if kind & 0x06 else 0)
            yield topic, bytes(heard[start:at]), at
        else:
            yield "", b"", at


def packet(kind: int, body: bytes) -> bytes:
    """An MQTT control packet."""
    length, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([kind]) + bytes(length) + body


def text(value: str) -> bytes:
    """A string of MQTT."""
    return struct.pack(">H", len(value.encode())) + value.encode()


def _connected(port: int) -> socket.socket:
    deadline_s = time.monotonic() + CONNECT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
