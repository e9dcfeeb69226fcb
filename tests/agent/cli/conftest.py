"""Each test of the command line can run it on an outbox of its own."""

from pathlib import Path

import pytest
from outbox_cli import Run, runner
from store_lab import Lab


@pytest.fixture
def oc(lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return runner(lab, capsys, tmp_path)
