"""docs/en and docs/vi for the technician: every command runs, in its order, on a bare gateway without network, and shows that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from booted_systemd import lacking
from bundles import debian_python
from cabinet import Cabinet, Stick
from guide_pages import DOCS, LANGUAGES, PAGES
from technician import Technician

WHY_NOT = lacking() or ("" if debian_python() else "Debian's python3 is missing or older than 3.11")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"no systemd can be booted: {WHY_NOT}")


@pytest.fixture(params=LANGUAGES)
def cabinet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Cabinet, str]]:
    one = Cabinet(tmp_path / "machine", Stick(tmp_path))
    yield one, request.param
    one.close()


def test_every_block_of_every_page_runs_and_shows_what_it_says(cabinet: tuple[Cabinet, str]) -> None:
    technician = Technician(cabinet[0])
    for page in PAGES:
        technician.follow(page, cabinet[1])
