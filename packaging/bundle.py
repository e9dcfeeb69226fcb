"""One file to install from without internet: the wheel, all wheels it needs, unit files and the installer.

    python packaging/bundle.py aarch64 x86_64        # -> dist/oc-agent-<version>-<arch>.tar.gz, dist/SHA256SUMS

Which versions, and the hash of each file: `requirements.lock` alone says it; of that file only what the agent needs at
run time. Downloads are kept below `build/bundle/`. The same sources and lock give the same bytes.
"""

import argparse
import fcntl
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.13")
"""Of Debian 12 and 13, and of the Raspberry Pi OS made of them."""
MULTIARCH = {"aarch64": "aarch64-linux-gnu", "x86_64": "x86_64-linux-gnu", "armv7l": "arm-linux-gnueabihf"}
"""What a Python says of itself: 32-bit Debian on a 64-bit kernel is not taken for 64-bit."""
GLIBC = 36
"""Debian 12 has 2.36."""
MTIME = 1_577_836_800
"""Of every file in a bundle: 2020-01-01."""


class Missing(Exception):
    """A bundle cannot be made; the message says what is not to be had for this architecture."""


class Place(NamedTuple):
    """Where wheels are to run, and the folder of those that were downloaded for it."""

    arch: str
    python: str
    folder: Path


class Lock:
    """`requirements.lock`: by name, the pinned requirement with its hashes."""

    def __init__(self, path: Path) -> None:
        self._entries: dict[str, str] = {}
        name = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith((" ", "#")):
                name = canonicalize_name(line.partition("==")[0])
            if name:
                self._entries[name] = self._entries.get(name, "") + line + "\n"

    def entry(self, name: str) -> str:
        """The lines of one package; raises KeyError where it is not locked."""
        return self._entries[name]


def main() -> None:
    """Make the bundles that the command line names."""
    parser = argparse.ArgumentParser(description="Make bundles to install from without internet.")
    parser.add_argument("arch", nargs="+", choices=sorted(MULTIARCH))
    parser.add_argument("--if-possible", action="append", default=[], metavar="ARCH", choices=sorted(MULTIARCH))
    parser.add_argument("--python", action="append", help=f"default: {' and '.join(PYTHONS)}")
    parser.add_argument("--wheel", type=Path, help="of oc-agent; default: it is built from this checkout")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bundle")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = args.wheel or built_wheel(Path(scratch))
        made = []
        for arch in [*args.arch, *args.if_possible]:
            try:
                made.append(bundle(wheel, arch, args.python or PYTHONS, args.cache, args.out))
            except Missing as err:
                print(
                    f"no bundle for {arch}: {err}; packaging/README.md says how to install it online", file=sys.stderr
                )
                if arch in args.arch:
                    sys.exit(1)
    (args.out / "SHA256SUMS").write_text(sums(made, args.out), encoding="ascii")
    print("\n".join(str(path) for path in [*made, args.out / "SHA256SUMS"]))


def built_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def bundle(wheel: Path, arch: str, pythons: Sequence[str], cache: Path, out: Path) -> Path:
    """Make the file for one architecture; raises `Missing`."""
    version = str(parse_wheel_filename(wheel.name)[1])
    name = f"oc-agent-{version}-{arch}"
    lock = Lock(ROOT / "requirements.lock")
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch, name)
        (top / "wheels").mkdir(parents=True)
        names: set[str] = set()
        for python in pythons:
            place = Place(arch, python, cache / f"{arch}-{python}")
            needed = needs_of(wheel, lock, place)
            names |= set(needed)
            for path in [*needed.values(), *downloaded(lock, ["pip"], place).values()]:
                shutil.copy(path, top / "wheels")
        shutil.copy(wheel, top / "wheels")
        own = f"oc-agent=={version} \\\n    --hash=sha256:{sha256(wheel)}\n"
        (top / "requirements.txt").write_text(own + "".join(map(lock.entry, sorted(names))), encoding="ascii")
        (top / "release").write_text(
            f"version={version}\narch={arch}\nmultiarch={MULTIARCH[arch]}\npythons='{' '.join(pythons)}'\n"
            f"schema={schema_of(wheel)}\n",
            encoding="ascii",
        )
        for source in ("packaging/install.sh", "packaging/README.md", "config/agent.example.toml", "LICENSE"):
            shutil.copy(ROOT / source, top)
        shutil.copytree(ROOT / "packaging" / "parts", top / "parts")
        shutil.copytree(ROOT / "systemd", top / "system")
        for language in ("en", "vi"):
            shutil.copytree(ROOT / "docs" / language, top / "docs" / language)
        (top / "SHA256SUMS").write_text(sums(files_of(top), top), encoding="ascii")
        return archive(top, out / f"{name}.tar.gz")


def needs_of(wheel: Path, lock: Lock, place: Place) -> dict[str, Path]:
    """The wheels that `wheel` needs at run time, by name, as it and each of them says."""
    found: dict[str, Path] = {}
    wanted = required_by(wheel, place)
    while wanted:
        got = downloaded(lock, sorted(wanted), place)
        found |= got
        wanted = {name for path in got.values() for name in required_by(path, place)} - set(found)
    return found


def required_by(wheel: Path, place: Place) -> set[str]:
    """The names in its metadata that count in `place`, extras not among them."""
    with zipfile.ZipFile(wheel) as content:
        (name,) = (path for path in content.namelist() if PurePosixPath(path).match("*.dist-info/METADATA"))
        metadata = message_from_bytes(content.read(name))
    there = {"python_version": place.python, "platform_machine": place.arch, "sys_platform": "linux", "extra": ""}
    required = map(Requirement, metadata.get_all("Requires-Dist", []))
    return {canonicalize_name(one.name) for one in required if one.marker is None or one.marker.evaluate(there)}


def downloaded(lock: Lock, names: Sequence[str], place: Place) -> dict[str, Path]:
    """The wheels of `names`, each with a hash of the lock; fetched where they are not in the folder yet."""
    place.folder.mkdir(parents=True, exist_ok=True)
    with (place.folder / "lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        wanted = [name for name in names if not held(lock, name, place.folder)]
        if wanted and not fetched(lock, wanted, place):
            missing = [name for name in wanted if not fetched(lock, [name], place)]
            raise Missing(f"no wheels for Python {place.python} of {', '.join(missing)}")
    return {name: held(lock, name, place.folder)[0] for name in names}


def held(lock: Lock, name: str, folder: Path) -> list[Path]:
    """The wheel of `name` in `folder` that the lock knows."""
    wheels = (path for path in sorted(folder.glob("*.whl")) if parse_wheel_filename(path.name)[0] == name)
    return [path for path in wheels if f"sha256:{sha256(path)}" in lock.entry(name)]


def fetched(lock: Lock, names: Sequence[str], place: Place) -> bool:
    """Whether pip found all wheels, checked against their hashes; raises `Missing` where it cannot look."""
    tags = [f"manylinux_2_{minor}_{place.arch}" for minor in range(GLIBC, 16, -1)] + [f"manylinux2014_{place.arch}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", *platforms, "--python-version", place.python]
    command += ["--implementation", "cp", "--dest", str(place.folder)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("".join(map(lock.entry, names)))
        wanted.flush()
        done = subprocess.run([*command, "-r", wanted.name], check=False, capture_output=True, text=True)
    if done.returncode and "No matching distribution" not in done.stderr:
        raise Missing(f"{', '.join(names)} cannot be downloaded: {done.stderr.strip()}")
    return not done.returncode


def schema_of(wheel: Path) -> int:
    """The schema of the outbox up to which this version reads: the number of its last migration."""
    with zipfile.ZipFile(wheel) as content:
        paths = map(PurePosixPath, content.namelist())
        return max(int(path.name[:4]) for path in paths if path.match("agent/store/migrations/[0-9]*.sql"))


def archive(top: Path, target: Path) -> Path:
    """`top` as a tar file that depends on nothing but its content."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=MTIME, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in files_of(top):
            tar.add(path, str(path.relative_to(top.parent)), filter=_anonymous)
    return target


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = MTIME
    entry.mode = 0o755 if entry.name.endswith(".sh") else 0o644
    return entry


def files_of(top: Path) -> Iterator[Path]:
    """All files, in order."""
    return (path for path in sorted(top.rglob("*")) if path.is_file())


def sums(files: Iterable[Path], top: Path) -> str:
    """Lines for `sha256sum --check`."""
    return "".join(f"{sha256(path)}  {path.relative_to(top)}\n" for path in files)


def sha256(path: Path) -> str:
    """The hash, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
