"""The C library's allocator (mallopt(3)): what the agent used for a moment is not its own for ever.

Nothing here does anything with musl, which gives memory back by itself.
"""

import ctypes
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Names of malloc.h."""
LARGE_BYTES: Final = 128 * 1024
"""What the C library begins with; the buffers of LZMA and the larger ones of SQLite are above it."""


def keep_little() -> None:
    """Before there are threads: one heap for all of them, and large blocks outside of it.

    Otherwise each thread makes a heap of its own, and once a large block was freed, blocks of its size come from heaps
    too. Both leave holes: 5 MB after the first commit.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, 2 * LARGE_BYTES)


def give_back() -> None:
    """What is free now: half a megabyte after the configuration was read, up to one after each commit. Takes 1 ms."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
