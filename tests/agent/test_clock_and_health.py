import subprocess
import sys
from pathlib import Path

import pytest

from agent.clock import ClockState, SystemClock
from agent.health import hardware, system_figures, uptime_s


def test_the_kernel_decides_whether_the_clock_is_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: False)
    assert clock.state() is ClockState.UNSYNC
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: True)
    assert clock.state() is ClockState.SYNC
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: False)
    assert clock.state() is ClockState.HOLD


def test_our_reading_of_adjtimex_agrees_with_the_python_of_the_machine() -> None:
    """The offset of `status` in struct timex is checked against a second reading of the same structure."""
    code = (
        "import ctypes; b=(ctypes.c_long*32)(); r=ctypes.CDLL(None).adjtimex(b);"
        "s=b[5] & 0xffffffff if ctypes.sizeof(ctypes.c_long)==8 else b[5]; print(int(0<=r<5 and not s & 0x40))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert SystemClock()._kernel_synchronised() == bool(int(done.stdout))


def test_the_machine_tells_its_figures(tmp_path: Path) -> None:
    figures = system_figures(tmp_path)
    assert 0 < figures.memory_pct < 100
    assert figures.disk_free_bytes
    assert figures.rss_bytes > 5_000_000
    assert uptime_s() > 0
    assert isinstance(hardware().model, str)


def test_a_disk_that_cannot_be_asked_is_left_out_of_the_figures(tmp_path: Path) -> None:
    assert system_figures(tmp_path / "gone").disk_free_bytes is None
