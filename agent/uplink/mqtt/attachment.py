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
        self._soon: asyncio.Handle | None = None
        self._read_s = self._wrote_s = 0.0
        self._full = False
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
        self._read_s = self._wrote_s = loop.time()
        loop.add_reader(sock, self._read)
        if client.want_write():
            self._start_writing(client, None, sock)
        self.look()
        return True

    def close(self) -> None:
        """Close the socket without a word."""
        self._cancel()
        self._client.on_socket_close = self._client.on_socket_unregister_write = None
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()

    def look(self) -> None:
        """Let paho look at its timers when something is due: it pings, and cuts the connection of a silent broker.

        That is `keepalive` after the last word in either direction; what waits for its answer longer is looked at
        more often. The interval is the server's (Server Keep Alive) where that has one of its own: look then.
        """
        keepalive_s = self._client.keepalive
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not keepalive_s:
            return
        now_s, due_s = self._loop.time(), min(self._read_s, self._wrote_s) + keepalive_s
        if due_s <= now_s:
            due_s = now_s + min(MISC_S, keepalive_s / 4)
            self._timer = self._loop.call_at(due_s, self.look)
            self._client.loop_misc()
        else:
            self._timer = self._loop.call_at(due_s, self.look)

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
            self._read_s = self._loop.time()
            if not _unpacked(self._client.socket()):
                return

    def _write(self) -> None:
        self._soon = None
        self._client.loop_write()
        sock = self._client.socket()
        if sock is None:
            return
        if not self._client.want_write():
            self._wrote_s = self._loop.time()
        elif not self._full:
            self._full = True
            self._loop.add_writer(sock, self._write)
        if self._deaf and not is_half_sent(sock):
            self._deaf = False
            self._loop.add_reader(sock, self._read)
            self._loop.call_soon(self._read)

    def _start_writing(self, _client: Any, _data: Any, _sock: Any) -> None:
        """paho has something to write, which a socket mostly takes at once; of one that does not, the loop tells."""
        if not self._soon:
            self._soon = self._loop.call_soon(self._write)

    def _stop_writing(self, _client: Any, _data: Any, sock: Any) -> None:
        if self._full:
            self._full = False
            self._loop.remove_writer(sock)

    def _stop(self, _client: Any, _data: Any, sock: Any) -> None:
        self._cancel()
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _cancel(self) -> None:
        for handle in (self._timer, self._soon):
            if handle:
                handle.cancel()
        self._timer = self._soon = None


def _unpacked(sock: Any) -> int:
    """How many bytes TLS has unpacked that nobody has read; paho's WebSocket knows it of the TLS below it."""
    return int(sock.pending()) if hasattr(sock, "pending") else 0
