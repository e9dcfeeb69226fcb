"""A machine of which everything goes wrong: what the command on it sees, and that nothing is left of it."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from host_needs import lacking

from simulators.host import FAULTS, ChildFailed, HostCannot, Machine, host

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())
MIB = 1024 * 1024
SOON_S = 20.0

WRITER = """
import json, os, pathlib, sys, threading, time
data, run_dir = map(pathlib.Path, sys.argv[1:])
counter = run_dir / "starts"
starts = int(counter.read_text()) + 1 if counter.exists() else 1
counter.write_text(str(starts))
journal = open(data / "journal", "ab", buffering=0)

def error(change):
    try:
        change()
    except OSError as err:
        return err.errno
    return 0

while True:
    print(json.dumps({
        "starts": starts, "wall": time.time(), "mono": time.monotonic(), "uid": os.getuid(), "cwd": os.getcwd(),
        "open": error(lambda: journal.write(b"x" * 4096)), "sync": error(lambda: os.fsync(journal.fileno())),
        "new": error(lambda: (data / "new").write_bytes(b"x" * 4096)), "gone": error(lambda: (data / "new").unlink()),
    }), flush=True)
    time.sleep(0.02)
"""
"""A gateway in short: it appends to an open file, makes files, and says with which error each failed."""


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with host(tmp_path / "host", disk_bytes=4 * MIB, clock=True) as one:
        yield one


async def _start(machine: Machine, script: str = WRITER, **options: Any) -> None:
    file = machine.stdout.with_name("script.py")
    file.write_text(textwrap.dedent(script), encoding="utf-8")
    await machine.start([sys.executable, str(file), str(machine.data), str(machine.run_dir)], **options)


async def _until(condition: Callable[[], Any], what: str) -> Any:
    end_s = time.monotonic() + SOON_S
    while not (result := condition()):
        assert time.monotonic() < end_s, f"not within {SOON_S:g} s: {what}"
        await asyncio.sleep(0.02)
    return result


async def _next(machine: Machine, **wanted: Any) -> dict[str, Any]:
    """The first line from now on in which these keys have these values."""
    machine.output.clear()

    def found() -> dict[str, Any] | None:
        return next((line for line in machine.output if wanted.items() <= line.items()), None)

    return dict(await _until(found, f"a line with {wanted}, but {list(machine.output)[-1:]}"))


async def test_the_command_is_who_we_are_where_we_are_and_has_a_disk_of_its_own(machine: Machine) -> None:
    await _start(machine, env={"LANG": "C"})
    line = await _next(machine, open=0, new=0)
    assert (line["uid"], line["cwd"]) == (os.getuid(), str(Path.cwd()))
    assert not (machine.data / "journal").exists()
    assert machine.inside(machine.data / "journal").stat().st_size > 0
    assert os.statvfs(machine.inside(machine.data)).f_blocks * 4096 == 4 * MIB
    assert await machine.terminate(10) == -signal.SIGTERM
    assert (machine.running, machine.exit_codes) == (False, [-signal.SIGTERM])
    assert json.loads(machine.stdout.read_text().splitlines()[0])["starts"] == 1


async def test_a_full_disk_is_enospc_until_it_is_freed(machine: Machine) -> None:
    await _start(machine)
    async with FAULTS["disk_full"](machine):
        await _next(machine, open=errno.ENOSPC, new=errno.ENOSPC)
        assert os.statvfs(machine.inside(machine.data)).f_bavail == 0
        assert {path.name for path in machine.inside(machine.data).iterdir()} <= {"journal", "new"}
    await _next(machine, open=0, new=0)


async def test_a_disk_can_be_left_a_little_room(machine: Machine) -> None:
    await machine.fill_disk(leave_bytes=64 * 1024)
    assert os.statvfs(machine.inside(machine.data)).f_bavail == 16


async def test_a_read_only_disk_is_erofs_for_files_that_are_open_too(machine: Machine) -> None:
    await _start(machine)
    await _next(machine, open=0)
    for _ in range(2):
        async with FAULTS["read_only"](machine):
            await _next(machine, open=errno.EROFS, sync=errno.EROFS, new=errno.EROFS)
            size = machine.inside(machine.data / "journal").stat().st_size
            await _next(machine, open=errno.EROFS)
            assert machine.inside(machine.data / "journal").stat().st_size == size
            with pytest.raises(RuntimeError):
                await machine.make_read_only()
        await _next(machine, open=0, sync=0, new=0, gone=0)
    assert machine.exit_codes == []


async def test_every_thread_and_child_of_the_command_meets_the_read_only_disk(machine: Machine) -> None:
    await _start(
        machine,
        """
        import json, os, sys, threading, time
        def work(name):
            file = open(sys.argv[1] + "/" + name, "ab", buffering=0)
            while True:
                try:
                    error = file.write(b"x") and 0
                except OSError as err:
                    error = err.errno
                os.write(1, json.dumps({"name": name, "error": error}).encode() + b"\\n")
                time.sleep(0.02)
        if os.fork() == 0:
            work("child")
        threading.Thread(target=work, args=("thread",)).start()
        work("main")
        """,
    )
    for name in ("child", "thread", "main"):
        await _next(machine, name=name, error=0)
    async with FAULTS["read_only"](machine):
        for name in ("child", "thread", "main"):
            await _next(machine, name=name, error=errno.EROFS)


async def test_without_strace_a_read_only_disk_is_refused_by_name_and_changes_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _start(machine)
    await _next(machine, open=0)
    monkeypatch.setattr("simulators.host.disk.shutil.which", lambda _name: None)
    with pytest.raises(HostCannot, match="apt-get install strace"):
        await machine.make_read_only()
    await _next(machine, open=0, new=0)


async def test_the_wall_clock_of_the_command_jumps_and_nothing_else(machine: Machine) -> None:
    async def shows(ahead_s: float) -> dict[str, Any]:
        """A line that was written with a clock so far ahead."""

        def found() -> dict[str, Any] | None:
            return next((line for line in machine.output if abs(line["wall"] - true_s - ahead_s) < 900), None)

        return dict(await _until(found, f"a clock that is {ahead_s:g} s ahead"))

    true_s = time.time()
    await _start(machine)
    before = await shows(0)
    async with FAULTS["clock_jump"](machine, seconds=-86_400):
        back = await shows(-86_400)
        assert 0 < back["mono"] - before["mono"] < 900
        await machine.step_clock(90_000)
        await shows(3_600)
        assert 0 <= time.time() - true_s < 900
        await machine.step_clock(-90_000)
    machine.output.clear()
    await shows(0)


async def test_waits_of_the_command_last_as_long_as_ever_whatever_its_clock_says(machine: Machine) -> None:
    await machine.step_clock(-3_600)
    await _start(
        machine,
        """
        import ctypes, json, select, socket, threading, time
        libc = ctypes.CDLL(None)
        class Timespec(ctypes.Structure):
            _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
        def deadline():
            now = time.time_ns() + 50_000_000
            return ctypes.byref(Timespec(now // 10**9, now % 10**9))
        sem, cond, mutex = (ctypes.create_string_buffer(128) for _ in range(3))
        left, right = socket.socketpair()
        left.settimeout(0.05)
        def receive():
            try:
                left.recv(1)
            except TimeoutError:
                pass
        lock = threading.Lock()
        lock.acquire()
        libc.pthread_mutex_lock(mutex)
        waits = {
            "sleep": lambda: time.sleep(0.05), "select": lambda: select.select([left], [], [], 0.05), "socket": receive,
            "lock": lambda: lock.acquire(timeout=0.05), "event": lambda: threading.Event().wait(0.05),
            "sem_timedwait": lambda: libc.sem_timedwait(sem, deadline()),
            "cond_timedwait": lambda: libc.pthread_cond_timedwait(cond, mutex, deadline()),
            "clock_nanosleep": lambda: libc.clock_nanosleep(0, 1, deadline(), None),
        }
        took = {}
        for name, wait in waits.items():
            began = time.monotonic()
            wait()
            took[name] = time.monotonic() - began
        print(json.dumps(took))
        """,
    )
    took = await _until(lambda: machine.output and machine.output[0], "all waits end")
    assert all(0.045 < seconds < 10 for seconds in took.values()), took


async def test_sigkill_leaves_disk_and_ram_disk_a_power_cut_only_the_disk(machine: Machine) -> None:
    await _start(machine)
    await _next(machine, starts=1, open=0)
    size = machine.inside(machine.data / "journal").stat().st_size
    async with FAULTS["sigkill"](machine):
        assert not machine.running
    await _next(machine, starts=2)
    await machine.kill(down_s=0)
    await _next(machine, starts=3)
    async with FAULTS["power_cut"](machine):
        assert not machine.running
    await _next(machine, starts=1)
    assert machine.exit_codes == [-signal.SIGKILL] * 3
    assert machine.inside(machine.data / "journal").stat().st_size > size


async def test_a_command_that_starts_on_a_read_only_disk_meets_it(machine: Machine) -> None:
    await _start(machine)
    await _next(machine, open=0)
    async with FAULTS["read_only"](machine):
        await machine.kill(down_s=0)
        await _until(lambda: not machine.running, "the command cannot open its journal")
    assert machine.exit_codes == [-signal.SIGKILL, 1]
    assert "Read-only file system" in machine.stderr.read_text()


async def test_a_stopped_command_gets_no_time_and_goes_on_where_it_was(machine: Machine) -> None:
    await _start(machine)
    await _next(machine)
    async with FAULTS["sigstop"](machine):
        states = [psutil.Process(pid).status() for pid in _pids(machine)]
        assert states == [psutil.STATUS_STOPPED]
        assert machine.running
    assert (await _next(machine))["starts"] == 1
    await machine.stop_and_continue(0.01)
    await _next(machine)


async def test_sigterm_reaches_all_processes_and_sigkill_those_that_stay(machine: Machine) -> None:
    await _start(
        machine,
        """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(1, b'{"deaf": 1}\\n')
            time.sleep(600)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.write(1, b'{"polite": 1}\\n')
        time.sleep(600)
        """,
    )
    await _until(lambda: len(machine.output) == 2, "both are there")
    left = [psutil.Process(pid) for pid in _pids(machine)]
    assert len(left) == 2
    await machine.freeze()
    assert await machine.terminate(0.5) == 7
    assert not _alive(left)


async def test_a_command_that_ends_by_itself_is_started_again_where_that_is_wanted(machine: Machine) -> None:
    await _start(machine, "import sys; sys.exit(3)", restart_s=0.0)
    await _until(lambda: len(machine.exit_codes) >= 3, "three starts")
    await machine.down()
    assert set(machine.exit_codes) <= {3, -signal.SIGKILL}
    ends = len(machine.exit_codes)
    await asyncio.sleep(0.1)
    assert len(machine.exit_codes) == ends


async def test_a_command_that_there_is_not_is_said_by_name(machine: Machine) -> None:
    with pytest.raises(ChildFailed, match="no-such-gateway"):
        await machine.start(["no-such-gateway"])
    await _start(machine)
    with pytest.raises(RuntimeError):
        await machine.up()


async def test_usage_counts_every_process(machine: Machine) -> None:
    await _start(
        machine,
        """
        import os, threading, time
        ballast = bytearray(32 * 2**20)
        files = [open(os.devnull) for _ in range(20)]
        for _ in range(4):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        os.fork()
        while time.process_time() < 0.3:
            pass
        os.write(1, b'{"ready": 1}\\n')
        time.sleep(600)
        """,
    )
    await _until(lambda: len(machine.output) == 2, "both are ready")
    first, last = machine.usage()[0], machine.usage()[-1]
    assert 0 <= first.elapsed_s <= last.elapsed_s
    assert last.processes == 2
    assert last.rss_bytes > 64 * MIB
    assert last.cpu_s > 0.5
    assert last.open_fds >= 40
    assert last.threads == 6


async def test_a_machine_takes_samples_by_itself(tmp_path: Path) -> None:
    async with host(tmp_path / "host", sample_s=0.02) as machine:
        await machine.start(["sleep", "600"])
        await _until(lambda: len(machine.usage()) > 20, "samples")
        with pytest.raises(HostCannot, match="clock=True"):
            await machine.step_clock(1)


async def test_without_root_it_is_a_user_namespace_in_which_all_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def user(_folder: Path) -> bool:
        return True

    monkeypatch.setattr("simulators.host.namespace._needs_user_namespace", user)
    async with host(tmp_path / "host", disk_bytes=MIB, clock=True) as machine:
        await _start(machine)
        assert (await _next(machine, open=0, new=0))["uid"] == os.getuid()
        async with FAULTS["read_only"](machine):
            await _next(machine, open=errno.EROFS, new=errno.EROFS)
        async with FAULTS["disk_full"](machine):
            await _next(machine, open=errno.ENOSPC)
        async with FAULTS["power_cut"](machine), FAULTS["clock_jump"](machine, seconds=9_000):
            pass
        await _next(machine, open=0, starts=1)
        assert machine.usage()[-1].open_fds > 0
        assert await machine.terminate(10) == -signal.SIGTERM


async def test_nothing_runs_and_nothing_is_mounted_after_the_context(tmp_path: Path) -> None:
    async with host(tmp_path / "host") as machine:
        await _start(machine)
        await _next(machine, open=0)
        await machine.make_read_only()
        running = _descendants(os.getpid())
        assert len(running) == 3
    assert not _alive(running)
    assert list((tmp_path / "host" / "data").iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


KILLED = """
import asyncio, sys
from pathlib import Path
from simulators.host import host
async def main():
    async with host(Path(sys.argv[1])) as machine:
        await machine.start(["sh", "-c", "setsid sleep 600 & exec sleep 600"])
        print("ready", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_nothing_runs_when_we_are_killed(tmp_path: Path, wait_for: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout
    with process, process.stdout:
        assert process.stdout.readline() == b"ready\n"
        running = wait_for(lambda: _complete(process.pid), 10.0)
        process.kill()
    wait_for(lambda: not _alive(running), 10.0)


@pytest.mark.parametrize("missing", ["unshare", "user namespaces"])
async def test_what_a_computer_lacks_is_said_with_what_to_try(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    if missing != "unshare":
        (tools / "unshare").write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2; exit 1\n")
        (tools / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(HostCannot, match=r"apt-get install|not permitted.*kernel"):
        async with host(tmp_path / "host"):
            pass


async def test_a_clock_without_a_compiler_is_said_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostCannot, match="apt-get install gcc"):
        async with host(tmp_path / "host", clock=True):
            pass


def _pids(machine: Machine) -> list[int]:
    return machine._space.pids()


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run; whether an orphan that has ended is reaped is up to init."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def _descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _complete(pid: int) -> list[psutil.Process]:
    """All that runs below it, once the keeper and both sleeps are there."""
    found = _descendants(pid)
    return found if [one.name() for one in found].count("sleep") == 2 else []
