"""Lines of another program, for a bounded time and in bounded memory."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from agent.cli.messages import tr

LINE_MAX_BYTES = 16 * 1024
_TOLD_BYTES = 2000


class PartFailed(Exception):
    """A part could not be had as a whole; what came before may be there."""


def lines_of(
    command: Sequence[str],
    timeout_s: float,
    *,
    good: Sequence[int] = (0,),
    with_report: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Its stdout line by line, longer ones cut; raises `PartFailed` where it is missing, too slow or fails.

    `with_report`: codes that are no failure where it has said anything.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 # our own commands, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", **(environment or {})},
                start_new_session=True,
            )
        except FileNotFoundError as err:
            raise PartFailed(tr("there is no {command} on this machine", command=command[0])) from err
        except OSError as err:
            raise PartFailed(f"{command[0]}: {err.strerror}") from err
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(timeout_s, end)
        timer.start()
        said = False
        try:
            for line in _lines(process):
                said = True
                yield line
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if late.is_set():
            raise PartFailed(tr("took longer than {seconds} s", seconds=f"{timeout_s:g}"))
        if code not in (*good, *(with_report if said else ())):
            errors.seek(0)
            reason = errors.read(_TOLD_BYTES).decode("utf-8", "replace").strip()
            raise PartFailed(reason or tr("ended with code {code}", code=code))


def _lines(process: "subprocess.Popen[bytes]") -> Iterator[str]:
    assert process.stdout is not None
    while line := process.stdout.readline(LINE_MAX_BYTES):
        whole = line.endswith(b"\n")
        if not whole and len(line) == LINE_MAX_BYTES:
            while (rest := process.stdout.readline(LINE_MAX_BYTES)) and not rest.endswith(b"\n"):
                pass
        yield (
            line.decode("utf-8", "replace").rstrip("\n")
            + ("" if whole or len(line) < LINE_MAX_BYTES else " […]")
            + "\n"
        )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
