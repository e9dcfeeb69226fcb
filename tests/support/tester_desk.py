"""The computer of a tester who follows docs/tester: commands by name, and nothing from the network.

`python3 -m venv` makes a folder with the commands of the interpreter that runs the tests, for what is to be installed is there
already; `pip` and `apt-get` say so, or fail.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "tester"
EXAMPLE = DOCS / "example"
TIMEOUT_S = 120

PYTHON = """\
#!/bin/bash
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin" "$3/share/oc-agent"
  cp "{bin}"/* "$3/bin/"
  cp -r "{example}" "$3/share/oc-agent/example"
  echo "export VIRTUAL_ENV='$PWD/$3' PATH='$PWD/$3/bin':\\"\\$PATH\\"" > "$3/bin/activate"
  exit
fi
exec {python} "$@"
"""
APT = """\
#!/bin/bash
[ "$1" = update ] && exit
for one in "${@:2}"; do
  case "$one" in -*) ;; *) command -v "$one" || test -x "/usr/sbin/$one" || { echo "E: $one is not here" >&2; exit 100; } ;; esac
done
"""
PIP = """\
import importlib.metadata as metadata
import sys
from pathlib import Path

from packaging.requirements import Requirement


def check(text):
    requirement = Requirement(text)
    version = metadata.version(requirement.name)
    assert requirement.specifier.contains(version), f"{text}, and {version} is here"
    for extra in requirement.extras:
        for more in map(Requirement, metadata.requires(requirement.name)):
            if more.marker and more.marker.evaluate({"extra": extra}):
                check(f"{more.name}{more.specifier}")


def install(text):
    if text.endswith("]") and "/" in text:
        path, extras = text[:-1].split("[")
        assert Path(path).is_file(), f"there is no {path}"
        name, version = Path(path).name.split("-")[:2]
        text = f"{name}[{extras}]=={version}"
    check(text)


verb, *words = sys.argv[1:]
files = [words.pop(words.index(one) + 1) for one in list(words) if one == "--requirement"]
folders = [words.pop(words.index(one) + 1) for one in list(words) if one == "--wheel-dir"]
wanted = [one for one in words if not one.startswith("-")]
for file in files:
    wanted += [line for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
assert wanted
if verb == "wheel":
    (folder,), (checkout,) = folders, wanted
    assert (Path(checkout) / "pyproject.toml").is_file()
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / f"oc_agent-{metadata.version('oc-agent')}-py3-none-any.whl").touch()
else:
    assert verb == "install"
    for one in wanted:
        install(one)
"""


class Desk:
    """`run` is a bash of its own each time; `follow` keeps folder and environment, as in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / ".terminal"
        self._bin = folder / ".bin"
        self._bin.mkdir(parents=True)
        (folder / "oc-agent").symlink_to(ROOT)
        (folder / ".pip.py").write_text(PIP, encoding="utf-8")
        python = f"{sys.executable} "
        shims = {
            "apt-get": APT,
            "sudo": '#!/bin/sh\nexec "$@"\n',
            "pip": f'#!/bin/sh\nexec {python} {folder}/.pip.py "$@"\n',
            "oc-sim": f'#!/bin/sh\nexec {python} -m simulators "$@"\n',
            "oc-agent": f'#!/bin/sh\nexec {python} -m agent "$@"\n',
            "pytest": f'#!/bin/sh\nexec {python} -P -m pytest -p no:cacheprovider "$@"\n',
        }
        shims["python"] = shims["python3"] = PYTHON.format(bin=self._bin, example=EXAMPLE, python=python)
        for name, text in shims.items():
            (self._bin / name).write_text(text, encoding="utf-8")
            (self._bin / name).chmod(0o755)
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for name in ("PYTHONSAFEPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "VIRTUAL_ENV"):
            self.environment.pop(name, None)

    @property
    def here(self) -> Path:
        """Where the terminal is."""
        with suppress(FileNotFoundError):
            return Path(self._state.with_suffix(".pwd").read_text(encoding="utf-8").strip())
        return self.folder

    def run(self, script: str, folder: Path) -> tuple[int, str]:
        """Exit code and output of a script in bash, all of whose children end with it."""
        command = ["bash", "-eo", "pipefail", "-c", script]
        process = subprocess.Popen(
            command, cwd=folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode, out

    def follow(self, block: str) -> tuple[int, str]:
        """The next block of a page."""
        keep = f"trap 'pwd >{self._state}.pwd; export -p >{self._state}.env' EXIT\n"
        before = f"source {self._state}.env\n" if self._state.with_suffix(".env").exists() else ""
        return self.run(before + keep + block, self.here)

    def stay(self, command: str) -> "Standing":
        """Start a command that goes on until SIGTERM, and wait for its first line."""
        return Standing(command, self.here, self.environment)


class Standing:
    """A command of a page that goes on."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.first_line = self._process.stdout.readline()
        self._rest = threading.Thread(target=self._process.stdout.read, daemon=True)
        self._rest.start()

    def end(self) -> int:
        """SIGTERM; gives its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._rest.join(5)
            assert self._process.stdout
            self._process.stdout.close()


def copy_of_the_example(desk: Desk, version: str, *, mended: bool) -> Path:
    """A repository like that of the pages, as CI would check it out."""
    folder = desk.folder / "repository"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".venv", "*.xml", "wheels"))
    (folder / "wheels").mkdir()
    (folder / "wheels" / f"oc_agent-{version}-py3-none-any.whl").touch()
    if mended:
        file = folder / "gateway.py"
        buggy = file.read_text(encoding="utf-8")
        file.write_text(buggy.replace("pass  # with the next question", "meter = connect()"), encoding="utf-8")
    return folder
