import subprocess
import sys

CODE = """
from simulators.output import SpareOutput
output = SpareOutput()
for _ in range(3):
    output.show({text!r} * {count})
    output.finish({seconds})
"""


def _child(text: str, count: int, seconds: float) -> subprocess.Popen[str]:
    code = CODE.format(text=text, count=count, seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_reader_who_takes_nothing_holds_nothing_up() -> None:
    child = _child("x", 1_000_000, 0.05)
    try:
        assert child.wait(20) == 0
    finally:
        child.kill()
        _, err = child.communicate()
    assert err == ""


def test_a_reader_gets_everything_that_was_shown() -> None:
    out, err = _child("line", 1, 20).communicate(timeout=20)
    assert (out, err) == ("line\nline\nline\n", "")
