"""The one place that knows pymodbus: it opens the path, sends requests, and hands on every byte that comes back.

pymodbus builds the requests and numbers them; it does not judge answers, for it takes a late reply, or one with
another count, for the right one. Its packet hook gives us the bytes and gets none back (`drivers.modbus.line`).
Works with pymodbus 3.11.2 to 3.16.1: `device_id` names the unit, and `pdu_send` of its transaction manager writes a
request without waiting for an answer.
"""

import asyncio
import logging
import os
import socket
import ssl
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymodbus import FramerType, ModbusException
from pymodbus.client import (
    AsyncModbusSerialClient,
    AsyncModbusTcpClient,
    AsyncModbusTlsClient,
    AsyncModbusUdpClient,
)
from pymodbus.client.mixin import ModbusClientMixin

from drivers.errors import LinkDown
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Identify, Request
from drivers.ports import port_finder
from drivers.rs485 import switch_to_rs485
from drivers.tap import current_tap

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it would say, our errors say better

Client = AsyncModbusSerialClient | AsyncModbusTcpClient | AsyncModbusUdpClient
_FRAMERS = {"mbap": FramerType.SOCKET, "rtu": FramerType.RTU, "ascii": FramerType.ASCII}
_READS = {
    "holding": "read_holding_registers",
    "input": "read_input_registers",
    "coil": "read_coils",
    "discrete": "read_discrete_inputs",
}
_HEARD_BYTES = 65_536
_KEEPALIVE_S = 15
_DEAD_PEER_S = 10


class Wire:
    """A byte path to Modbus devices. `on_bytes` gets what arrives, `on_lost` is called once when the path is gone."""

    def __init__(self, options: ModbusOptions, on_bytes: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._options = options
        self._on_bytes = on_bytes
        self._on_lost = on_lost
        self._sent = b""
        self._ctx: Any = None
        self._why: Exception | None = None
        self._client: Client | None = None
        self._finder = port_finder(options.port)
        self._tap = current_tap()

    async def open(self) -> None:
        """Open the path, a serial port exclusively; raises `LinkDown` with the reason and what to try."""
        try:
            client = self._make_client()
        except OSError as err:
            raise LinkDown(f"{self._options.endpoint}: {err}; check `ca_file`, `cert_file` and `key_file`") from err
        try:
            async with asyncio.timeout(self._options.connect_timeout_s + 1):
                opened = await client.connect()
        except (TimeoutError, OSError, ModbusException) as err:
            opened, self._why = False, err
        if _is_cancelled():
            client.close()
            raise asyncio.CancelledError
        if not opened:
            client.close()
            raise LinkDown(f"{self._options.endpoint} cannot be opened: {self._reason()}") from self._why
        self._client = client
        if self._options.is_serial:
            self._settle_port(client)
        elif self._options.transport != "udp":
            self._watch_peer(client)

    def _watch_peer(self, client: Client) -> None:
        transport = client.ctx.transport
        try:
            if transport is None:
                raise ConnectionResetError
            _watch_peer(transport)
            _receive_little(transport)
        except OSError as err:
            self.close()
            raise LinkDown(
                f"{self._options.endpoint} closed the connection at once; is somebody else connected?"
            ) from err

    def _settle_port(self, client: Client) -> None:
        self._finder.opened()
        if self._options.rs485:
            try:
                transport: Any = client.ctx.transport
                switch_to_rs485(transport.sync_serial.fileno(), self._options.rs485, self._options.port)
            except LinkDown:
                self.close()
                raise

    def send(self, request: Request | Identify) -> bytes:
        """Send `request` and return its bytes; raises `LinkDown` where the path is gone."""
        ctx = self._ctx
        if self._client is None or ctx.transport is None:
            raise LinkDown(f"{self._options.endpoint} is closed")
        try:
            message = _message(request)
            message.transaction_id = ctx.getNextTID()
            ctx.pdu_send(message)
        except (ModbusException, OSError) as err:
            raise LinkDown(f"{self._options.endpoint} took no request: {err}") from err
        return self._sent

    def close(self) -> None:
        """Close the path; nothing is called any more."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _make_client(self) -> Client:
        options = self._options
        common: dict[str, Any] = {
            "timeout": options.connect_timeout_s,
            "retries": 0,
            "reconnect_delay": 0,
            "trace_packet": self._trace,
            "trace_connect": self._connection,
        }
        client: Client
        framer = _FRAMERS[options.framing]
        match options.transport:
            case "rtu" | "ascii":
                client = AsyncModbusSerialClient(
                    self._finder.path(),
                    framer=framer,
                    baudrate=options.baud,
                    bytesize=options.data_bits,
                    parity=options.parity,
                    stopbits=options.stop_bits,
                    **common,
                )
            case "udp":
                client = AsyncModbusUdpClient(options.host, port=options.tcp_port, framer=framer, **common)
            case "tls":
                client = AsyncModbusTlsClient(
                    options.host, port=options.tcp_port, sslctx=_tls_context(options), **common
                )
            case _:
                client = AsyncModbusTcpClient(options.host, port=options.tcp_port, framer=framer, **common)
        client.ctx.max_buffer_size = _HEARD_BYTES
        client.ctx.call_create = self._noting_why(client.ctx.call_create)
        self._ctx = client.ctx
        return client

    def _noting_why(self, create: Callable[[], Any]) -> Callable[[], Any]:
        """pymodbus says only that opening failed; keep the reason."""

        async def noting() -> Any:
            try:
                return await create()
            except (OSError, ValueError, termios.error) as err:
                self._why = err.with_traceback(None)  # its frames would keep a port open that was half opened
                raise OSError(str(err)) from err

        return noting

    def _trace(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        if self._tap:
            self._tap("sent" if sending else "heard", data)
        if sending:
            self._sent = data
            return data
        self._ctx.recv_buffer = b""
        self._on_bytes(data)
        return b""

    def _connection(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        if not connected and self._client is not None:
            self._client = None
            self._on_lost()

    def _reason(self) -> str:
        options = self._options
        if isinstance(self._why, ssl.SSLError) or (self._why and isinstance(self._why.__cause__, ssl.SSLError)):
            return f"{self._why}; check `ca_file`, the name in the device's certificate, its dates and the clock"
        if not options.is_serial:
            return f"{self._why or 'no answer'}; check the address, the network and that nobody else is connected"
        port = self._finder.path()
        if not Path(port).exists():
            return "there is no such port; is the adapter plugged in? `ls /dev/serial/by-id` shows what is there"
        if not os.access(port, os.R_OK | os.W_OK):
            return "not permitted; the user of the agent must be in the group of the port, often `dialout`"
        return f"{self._why or 'not a serial port'}; does another program hold it?"


class _Messages(ModbusClientMixin[Any]):
    """pymodbus's requests, without a client that sends them and waits."""

    def execute(self, no_response_expected: bool, request: Any) -> Any:  # noqa: FBT001 - pymodbus calls it so
        """The request itself."""
        del no_response_expected
        return request


_MESSAGES = _Messages()  # type: ignore[no-untyped-call] # pymodbus has no types here


def _message(request: Request | Identify) -> Any:
    if isinstance(request, Identify):
        return _MESSAGES.read_device_information(
            read_code=request.code, object_id=request.object_id, device_id=request.unit
        )
    return getattr(_MESSAGES, _READS[request.table])(request.address, count=request.count, device_id=request.unit)


def _tls_context(options: ModbusOptions) -> ssl.SSLContext:
    """The device's certificate must be valid, for its name, and of a CA that is trusted; TLS 1.2 at least."""
    context = ssl.create_default_context(cafile=options.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.cert_file:
        context.load_cert_chain(options.cert_file, options.key_file)
    return context


def _is_cancelled() -> bool:
    """pymodbus connects under `wait_for`, which in Python 3.11 can swallow a cancellation (python/cpython#86296)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _receive_little(transport: Any) -> None:
    """asyncio asks for 256 KiB at a time, which glibc maps and gives back for each answer: 9 us of a poll."""
    if hasattr(transport, "max_size"):  # uvloop has none
        transport.max_size = _HEARD_BYTES


def _watch_peer(transport: Any) -> None:
    """Let the kernel find out that the other end is gone, though nobody closed the connection."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _DEAD_PEER_S // 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_S * 1000)
