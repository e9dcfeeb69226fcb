"""Small files that must last, and files that others may not read."""

from pathlib import Path

import pytest

from agent import durable
from agent.durable import write_durably
from agent.secret_file import readers


def test_a_file_is_whole_as_it_was_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "told.json"
    write_durably(path, b"first")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_durably(path, b"second")
    assert path.read_bytes() == b"first"
    monkeypatch.undo()
    write_durably(path, b"third")
    assert [file.name for file in tmp_path.iterdir()] == ["told.json"]
    assert path.read_bytes() == b"third"


@pytest.mark.parametrize(
    ("mode", "uid", "who"),
    [
        (0o600, 1000, "owner"),
        (0o400, 0, "owner"),
        (0o640, 0, "owner"),
        (0o440, 0, "owner"),
        (0o640, 1000, "group"),
        (0o644, 1000, "others"),
        (0o604, 0, "others"),
    ],
)
def test_a_secret_is_for_its_owner_or_for_the_group_that_root_gave_it_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, who: str
) -> None:
    path = tmp_path / "its.key"
    path.touch()
    path.chmod(mode)
    real = Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> object:
        found = list(real(self, follow_symlinks=follow_symlinks))
        found[4] = uid
        return type(real(self))(found)

    monkeypatch.setattr(Path, "stat", stat)
    assert readers(path) == who
