"""What is in a bundle, and what its installer says before it changes anything."""

import hashlib
import os
import platform
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bundles import ROOT, built_wheel, bundled, debian_python, unpacked
from packaging.utils import parse_wheel_filename

PACKAGING = ROOT / "packaging"
PARTS = sorted(PACKAGING.glob("parts/*.sh"))
pytestmark = pytest.mark.skipif(not debian_python(), reason="Debian's python3 is missing or older than 3.11")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    return bundled(built_wheel(folder), folder)


@pytest.fixture
def top(bundle: Path, tmp_path: Path) -> Path:
    """Unpacked."""
    return unpacked(bundle, tmp_path)


def _checked(top: Path, language: str = "en") -> tuple[int, str]:
    done = subprocess.run(
        ["sh", str(top / "install.sh"), "--check", "--lang", language], capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def _sums(top: Path) -> None:
    files = sorted(path for path in top.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(top)}\n" for path in files)
    (top / "SHA256SUMS").write_text("".join(lines), encoding="ascii")


def test_each_wheel_is_pinned_and_has_its_hash_and_only_what_runs_is_there(top: Path) -> None:
    requirements = (top / "requirements.txt").read_text(encoding="ascii")
    wanted = dict(re.findall(r"^([a-z-]+)==(\S+) \\$", requirements, re.MULTILINE))
    assert set(wanted) == {
        "oc-agent", "aiosqlite", "msgspec", "paho-mqtt", "psutil", "pymodbus", "pyserial", "tenacity",
    }  # fmt: skip
    wheels = {path: parse_wheel_filename(path.name) for path in (top / "wheels").iterdir()}
    assert {(name, str(version)) for name, version, _, _ in wheels.values() if name != "pip"} == set(wanted.items())
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for path, (name, _, _, _) in wheels.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest in (requirements if name == "oc-agent" else lock)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=top, check=True)
    listed = {line.split("  ")[1] for line in (top / "SHA256SUMS").read_text(encoding="ascii").splitlines()}
    found = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    assert found - listed == {"SHA256SUMS"}


def test_the_same_wheel_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = bundled(built_wheel(tmp_path), tmp_path)
    assert again.read_bytes() == bundle.read_bytes()
    digest, name = (tmp_path / "SHA256SUMS").read_text(encoding="ascii").split()
    assert (digest, name) == (hashlib.sha256(again.read_bytes()).hexdigest(), again.name)


def test_a_download_that_the_lock_does_not_know_is_not_taken(top: Path, tmp_path: Path) -> None:
    script: dict[str, Any] = runpy.run_path(str(PACKAGING / "bundle.py"))
    lock = script["Lock"](ROOT / "requirements.lock")
    cache = tmp_path / "cache"
    cache.mkdir()
    (wheel,) = top.glob("wheels/tenacity-*.whl")
    copy = Path(shutil.copy(wheel, cache))
    assert script["held"](lock, "tenacity", cache) == [copy]
    copy.write_bytes(wheel.read_bytes() + b"\0")
    assert script["held"](lock, "tenacity", cache) == []


def test_a_damaged_bundle_is_told_by_the_file(top: Path) -> None:
    (wheel,) = top.glob("wheels/tenacity-*.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1])
    code, said = _checked(top)
    assert (code, f"wheels/{wheel.name}: FAILED" in said) == (1, True)


def test_everything_that_is_wrong_is_told_at_once_in_both_languages(top: Path) -> None:
    release = top / "release"
    release.write_text(release.read_text().replace("linux-gnu", "linux-strange"), encoding="ascii")
    checks = top / "parts" / "checks.sh"
    checks.write_text(
        checks.read_text(encoding="utf-8").replace("NEED_KB=81920", "NEED_KB=999999999999"), encoding="utf-8"
    )
    _sums(top)
    code, english = _checked(top)
    assert code == 1
    assert f"no Python that this bundle ({platform.machine()}) has wheels for" in english
    assert f"python3: Python {debian_python()} {platform.machine()}-linux-gnu" in english
    assert "MB free" in english
    assert f"{english.count('  * ')} problem(s)" in english
    code, vietnamese = _checked(top, "vi")
    assert (code, vietnamese.count("  * ")) == (1, english.count("  * "))
    assert "còn trống" in vietnamese


@pytest.mark.parametrize("words", [["--purge"], ["--ready-within", "soon"], ["--lang", "fr"], ["now"]])
def test_a_wrong_option_changes_nothing_and_shows_the_right_ones(words: list[str]) -> None:
    done = subprocess.run(["sh", str(PACKAGING / "install.sh"), *words], capture_output=True, text=True)
    assert (done.returncode, "--uninstall" in done.stderr, done.stdout) == (2, True, "")


@pytest.mark.parametrize("part", [PACKAGING / "install.sh", *PARTS], ids=lambda path: path.name)
def test_each_text_is_there_in_vietnamese(part: Path) -> None:
    text = part.read_text(encoding="utf-8").replace("\\\n", "")
    for found in re.finditer(r'(?<![\w-])(?:t|fail|problem) (?=")', text):
        words = shlex.shlex(text[found.end() :], posix=True)
        words.whitespace_split, words.commenters = True, ""
        english, vietnamese = next(words), next(words)
        assert english.isascii() or "…" in english
        assert not vietnamese.isascii() or re.fullmatch(r"\$\w+", vietnamese), english


def test_shellcheck_has_nothing_to_say() -> None:
    if not shutil.which("shellcheck"):
        if "CI" in os.environ:
            pytest.fail("shellcheck is missing: apt-get install shellcheck")
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-x", "packaging/install.sh"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
