"""The small files of the uplink."""

from pathlib import Path

import pytest

from agent.uplink.remembered import Remembered

COST = "it costs nothing"


def one(folder: Path) -> Remembered[list[str]]:
    return Remembered(folder / "it.json", list[str], [], COST)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    one(tmp_path).write(["b", "a"])
    assert one(tmp_path).read() == ["b", "a"]
    assert [path.name for path in tmp_path.iterdir()] == ["it.json"]


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert one(tmp_path).read() == []


@pytest.mark.parametrize("content", [b"", b"\x00" * 20, b'{"a":1}', b"[1]"])
def test_a_damaged_file_stops_nothing_and_its_cost_is_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "it.json").write_bytes(content)
    assert one(tmp_path).read() == []
    assert COST in caplog.text


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one(tmp_path / "missing").write(["a"])
    assert "cannot be written" in caplog.text
