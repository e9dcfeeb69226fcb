"""Opens the line that a `[[link]]` names: a port here, or an address where a serial server listens."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from drivers.serial_line import SerialLine
from simulators.lines.line import Line, Members
from simulators.lines.pty_line import pty_line
from simulators.lines.tcp_line import tcp_line


def open_line(options: SerialLine, members: Members) -> AbstractAsyncContextManager[Line]:
    """Serve the address of `options` until the context ends; raises `CannotServe`."""
    if options.port:
        return pty_line(Path(options.port), members)
    return tcp_line(options.host, options.tcp_port or 0, members)
