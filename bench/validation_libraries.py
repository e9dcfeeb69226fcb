"""What it costs to validate settings: import time and memory of the libraries that could do it.

Each is imported in a fresh interpreter, several times in turn; the medians are printed. A library that is not
installed is skipped by name. To compare: pip install pydantic attrs cattrs.
"""

import statistics
import subprocess
import sys

RUNS = 7
CANDIDATES = {
    "nothing": "",
    "msgspec": "import msgspec",
    "attrs + cattrs": "import attrs, cattrs",
    "pydantic": "import pydantic; class M(pydantic.BaseModel): x: int",
}
PROBE = """
import asyncio, json, logging, sqlite3, ssl, time, tomllib
def rss():
    with open("/proc/self/statm") as f: return int(f.read().split()[1]) * 4096 / 2**20
before, start = rss(), time.perf_counter()
exec({code!r})
print((time.perf_counter() - start) * 1e3, rss() - before)
"""


def measure(code: str) -> tuple[float, float] | None:
    """Milliseconds and MiB that `code` adds to an interpreter that has asyncio, ssl and sqlite3; None if it fails."""
    done = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    milliseconds, mebibytes = done.stdout.split()
    return float(milliseconds), float(mebibytes)


def main() -> None:
    """Print one line a library."""
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in CANDIDATES}
    for _ in range(RUNS):
        for name, code in CANDIDATES.items():
            result = measure(code.replace("; class", "\nclass"))
            if result:
                results[name].append(result)
    print(f"{'library':16} {'import ms':>10} {'memory MiB':>11}   (medians of {RUNS})")
    for name, runs in results.items():
        if not runs:
            print(f"{name:16} not installed")
            continue
        print(f"{name:16} {statistics.median(r[0] for r in runs):10.1f} {statistics.median(r[1] for r in runs):11.2f}")


if __name__ == "__main__":
    main()
