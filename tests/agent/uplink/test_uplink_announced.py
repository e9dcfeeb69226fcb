"""The list of devices that were announced."""

from pathlib import Path

import pytest

from agent.uplink.announced import FILE_NAME, read_announced, write_announced


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_announced(tmp_path, {"b", "a"})
    assert read_announced(tmp_path) == {"a", "b"}
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_no_file_is_no_device(tmp_path: Path) -> None:
    assert read_announced(tmp_path) == frozenset()


@pytest.mark.parametrize("content", [b"", b"\x00" * 20, b'{"a":1}', b"[1]"])
def test_a_damaged_file_stops_nothing(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert read_announced(tmp_path) == frozenset()
    assert FILE_NAME in caplog.text


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_announced(tmp_path / "missing", {"a"})
    assert "cannot be written" in caplog.text
