"""The C library gives back what was large, also after something as large was freed before."""

import json
import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import ctypes, json, sys
from counted_agent import _Mallinfo
c = ctypes.CDLL(None)
c.malloc.restype, c.free.argtypes, c.mallinfo2.restype = ctypes.c_void_p, [ctypes.c_void_p], _Mallinfo
if sys.argv[1] == "little":
    from agent.allocator import keep_little
    keep_little()
c.free(c.malloc(2_000_000))
before = c.mallinfo2().hblkhd
block = c.malloc(1_900_000)
print(json.dumps(c.mallinfo2().hblkhd - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not with musl")
def test_large_blocks_stay_outside_of_the_heap() -> None:
    found = {}
    for how in ("little", "as it is"):
        command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{_SCRIPT}", how]
        found[how] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["little"] >= 1_900_000
    assert found["as it is"] == 0, "the C library does so by itself now: agent/allocator.py may go"
