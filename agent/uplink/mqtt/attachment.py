"""The event loop reads and writes for one paho client, and looks at its timers.

Must know nothing of what is in the messages: that is for the callbacks of the client.
"""

import asyncio
from typing import Any, Final

import paho.mqtt.client as paho

from agent.uplink.mqtt.websocket import is_half_sent

MISC_S: Final = 1.0


class Attachment:
    """`open` when the client has a socket; `close` gives that back and closes it."""

    def __init__(self, client: paho.Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deaf = False

    def open(self) -> bool:
        """Begin; False where there is no socket any more."""
        client, loop = self._client, self._loop
        client.on_socket_close = self._stop
        client.on_socket_register_write = self._start_writing
        client.on_socket_unregister_write = self._stop_writing
        sock = client.socket()
        if sock is None:
            return False
        loop.add_reader(sock, self._read)
        if client.want_write():
            loop.add_writer(sock, self._write)
        self._timer = loop.call_later(self._misc_s(), self._misc)
        return True

    def close(self) -> None:
        """Close the socket without a word."""
        if self._timer:
            self._timer.cancel()
        self._client.on_socket_close = self._client.on_socket_unregister_write = None
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()

    def _read(self) -> None:
        """What has arrived, and what TLS has unpacked already: the socket will not wake us for that.

        A WebSocket that is asked (ping) answers at once, into the middle of a frame that is half sent: so it hears
        nothing meanwhile.
        """
        while (sock := self._client.socket()) is not None:
            if is_half_sent(sock):
                self._deaf = True
                self._loop.remove_reader(sock)
                return
            self._client.loop_read()
            if not _unpacked(self._client.socket()):
                return

    def _write(self) -> None:
        self._client.loop_write()
        sock = self._client.socket()
        if self._deaf and sock is not None and not is_half_sent(sock):
            self._deaf = False
            self._loop.add_reader(sock, self._read)
            self._loop.call_soon(self._read)

    def _misc(self) -> None:
        """Let paho look at its timers: it pings, and cuts the connection itself where the broker is silent."""
        self._timer = self._loop.call_later(self._misc_s(), self._misc)
        self._client.loop_misc()

    def _misc_s(self) -> float:
        """How often to look. paho's interval is the server's (Server Keep Alive) where that has one of its own."""
        return min(MISC_S, self._client.keepalive / 4) if self._client.keepalive else MISC_S

    def _start_writing(self, _client: Any, _data: Any, sock: Any) -> None:
        self._loop.add_writer(sock, self._write)

    def _stop_writing(self, _client: Any, _data: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _stop(self, _client: Any, _data: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)


def _unpacked(sock: Any) -> int:
    """How many bytes TLS has unpacked that nobody has read; paho's WebSocket knows it of the TLS below it."""
    return int(sock.pending()) if hasattr(sock, "pending") else 0
