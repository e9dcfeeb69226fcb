"""Each test that wants a store gets a laboratory of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from card_lab import CardLab
from fake_clock import FakeClock
from store_lab import Lab


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that seems to be damaged is looked at again at once."""
    monkeypatch.setattr("agent.store.damage.patience.OPENING_PAUSES_S", (0.0, 0.0))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    ram = Path(tempfile.mkdtemp(prefix="oc-store-", dir="/dev/shm"))
    yield Lab(tmp_path, ram, FakeClock())
    shutil.rmtree(ram)


@pytest.fixture
def card_lab() -> Iterator[CardLab]:
    """Card and RAM disk of this laboratory are both in memory: the card does not need the real disk's syncs."""
    folder = Path(tempfile.mkdtemp(prefix="oc-card-", dir="/dev/shm"))
    yield CardLab(folder / "card", folder / "ram", FakeClock())
    shutil.rmtree(folder)
