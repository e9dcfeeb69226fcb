"""docs/broker/README.md: every block of it runs, in its order, without root, and does what the page says."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from broker_kit import KIT, script, shipped

from agent.settings import UplinkSettings
from simulators.brokers.broker import find_mosquitto
from simulators.endpoints import free_port

TEXT = (KIT / "README.md").read_text(encoding="utf-8") if KIT.is_dir() else ""
VIETNAMESE = (KIT / "README.vi.md").read_text(encoding="utf-8") if KIT.is_dir() else ""

pytestmark = pytest.mark.skipif(not TEXT, reason="no checkout")

SYSTEMCTL = """\
#!/bin/bash
case "$1" in
is-active) kill -0 "$(cat {run}/pid)" && echo active ;;
reload) kill -HUP "$(cat {run}/pid)" ;;
restart)
  test -f {run}/pid && kill "$(cat {run}/pid)" && while kill -0 "$(cat {run}/pid)"; do sleep 0.05; done
  {mosquitto} -c {etc}/mosquitto.conf </dev/null >/dev/null 2>&1 &
  echo $! > {run}/pid
  for _ in {{1..200}}; do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && exit 0; sleep 0.05; done
  exit 1
esac
"""
INSTALL = """\
#!/bin/sh
# a test has no user mosquitto: -o and -g are left out
set -- "$@" --
while [ "$1" != -- ]; do
  case "$1" in -o | -g) shift 2 ;; *) set -- "$@" "$1"; shift ;; esac
done
shift
exec {install} "$@"
"""


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


class Machine:
    """A machine where the page is followed: its own /etc, a free port, and nothing of root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.home, self.etc, self._bin = folder / "home", folder / "etc", folder / "bin"
        self._path = os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), os.environ["PATH"]])
        for made in (self.home, self.etc / "certs", self.etc / "lib", self._bin, folder / "docs"):
            made.mkdir(parents=True)
        shutil.copytree(KIT, folder / "docs" / "broker", ignore=shutil.ignore_patterns("pki*", "__pycache__"))
        (folder / "docs" / "broker" / "mosquitto.conf").write_text(shipped(self.etc, self.port), encoding="ascii")
        shims = {"sudo": '#!/bin/sh\nexec "$@"\n', "apt-get": "#!/bin/sh\n"}
        path = os.pathsep.join(sys.path)
        shims["oc-sim"] = f"#!/bin/sh\nPYTHONPATH='{path}' exec {sys.executable} -m simulators \"$@\"\n"
        shims["systemctl"] = SYSTEMCTL.format(run=folder, mosquitto=find_mosquitto(), etc=self.etc, port=self.port)
        shims["install"] = INSTALL.format(install=shutil.which("install"))
        for name, text in shims.items():
            (self._bin / name).write_text(text, encoding="ascii")
            (self._bin / name).chmod(0o755)

    def run(self, block: str) -> str:
        """Run a block where a reader would stand; it must succeed."""
        for here, there in (
            ("/etc/mosquitto", str(self.etc)), ("mqtt.example.vn", "localhost"), ("10.20.0.5", "127.0.0.1"),
            (":8883", f":{self.port}"), (".venv/bin/python", sys.executable),
        ):  # fmt: skip
            block = block.replace(here, there)
        copy = self.home / "ocg-broker"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=copy if copy.is_dir() else self.folder,
            env={**os.environ, "HOME": str(self.home), "PATH": self._path},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}\n{self.log()}"
        return done.stdout

    def log(self) -> str:
        file = self.etc / "mosquitto.log"
        return file.read_text(encoding="utf-8")[-2000:] if file.exists() else ""

    def end(self) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    one = Machine(tmp_path)
    yield one
    one.end()


def test_every_block_runs_in_its_order(machine: Machine) -> None:
    said = {block: machine.run(block) for block in blocks(TEXT, "sh")}
    (proved,) = [out for block, out in said.items() if "prove mqtt" in block]
    count = len(script("prove").CHECKS)
    assert proved.splitlines()[-1] == f"{count} of {count} hold"
    assert {10: "Ten lines must begin with `ok`"}[count] in TEXT
    (ioc,) = [out for block, out in said.items() if "oc-sim ioc" in block]
    assert '"ready":true' in ioc
    copy = machine.home / "ocg-broker"
    shutil.copy(copy / "pki-2" / "ca.pem", copy / "pki" / "ca.pem")  # what a gateway trusts after the last step
    prove = script("prove")
    site = prove.Site(("localhost", machine.port), copy / "pki", ("x", "y"))
    with site.client(str(copy / "pki-2" / "gateways" / "dng-hc-01")):
        pass
    with pytest.raises(prove.Refused), site.client("gateways/dng-hc-01"):
        pass


def test_the_vietnamese_page_has_the_same_blocks() -> None:
    for language in ("sh", "toml"):
        short = blocks(VIETNAMESE, language)
        assert short
        assert [block for block in short if block not in blocks(TEXT, language)] == []


def test_the_settings_of_the_page_are_settings_of_the_agent() -> None:
    (block,) = blocks(TEXT, "toml")
    assert set(tomllib.loads(block)["uplink"]) <= set(UplinkSettings.__struct_fields__)


def test_the_page_lists_every_file_of_the_kit_and_says_its_numbers() -> None:
    files = {path.name for path in KIT.iterdir() if not path.name.startswith((".", "README", "pki", "__"))}
    assert set(re.findall(r"^\| `([\w.-]+)` \|", TEXT.partition("## 1.")[0], re.MULTILINE)) == files
    made, config = script("make-certs"), (KIT / "mosquitto.conf").read_text(encoding="ascii")
    assert (made.CA_DAYS // 365, made.LEAF_DAYS // 365, made.WARN_DAYS, made.WARN_CA_DAYS // 365) == (20, 2, 30, 3)
    for words in ("The CA lives 20 years", "the others live 2", "less than 30 days left (the CA: 3 years)"):
        assert words in TEXT
    assert "max_queued_messages 100000\n" in config
    assert "max_connections 900\n" in config


def test_what_the_machine_of_this_test_leaves_out_is_only_the_owner(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    machine.run(f"install -o mosquitto -g mosquitto -m 0400 {tmp_path}/a {tmp_path}/b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o400
