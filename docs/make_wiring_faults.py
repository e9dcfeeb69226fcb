"""Write into docs/wiring-faults.md the codes and texts of `oc-agent doctor` that the code knows.

Run it after a change of `agent/cli/doctor/devices/faults.py`: `python docs/make_wiring_faults.py`. Everything else on
the page is written by hand and stays as it is; a test tries its table. A test compares.
"""

import re
from pathlib import Path
from typing import Final

from agent.cli.doctor.devices.faults import FAULTS

PAGE: Final = Path(__file__).with_name("wiring-faults.md")
_TABLE: Final = re.compile(r"^\| Code \| Says \| Try \|.*?(?=^$)", re.DOTALL | re.MULTILINE)


def table() -> str:
    """A row for each code, in the order of the code."""
    rows = (f"| `{code}` | {_cell(text.what)} | {_cell(text.advice)} |\n" for code, text in FAULTS.items())
    return "| Code | Says | Try |\n|---|---|---|\n" + "".join(rows)


def renewed(page: str) -> str:
    """The page with the table as it is now."""
    return _TABLE.sub(lambda _: table(), page, count=1)


def _cell(text: str) -> str:
    """Names of values in capitals, for a page has none."""
    return re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), text).replace("|", "\\|")


def main() -> None:
    """Write it."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
