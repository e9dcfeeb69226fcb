"""Bundles to install from, of the wheel of this checkout, or of one that is altered."""

import base64
import hashlib
import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEBIAN_PYTHON = "/usr/bin/python3"


def debian_python() -> str:
    """The version of this Debian's own Python, as "3.11"; empty where there is none that is new enough."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2] if sys.version_info >= (3, 11) else '')"
    try:
        return subprocess.run([DEBIAN_PYTHON, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def built_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def altered(wheel: Path, folder: Path, version: str, files: dict[str, str]) -> Path:
    """The wheel as another version, with some files added or another."""
    name, old, rest = wheel.name.split("-", 2)
    target = folder / f"{name}-{version}-{rest}"
    record = f"{name}-{version}.dist-info/RECORD"
    lines = []
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        content = {path: source.read(path) for path in source.namelist() if not path.endswith("RECORD")}
        own = "agent/__init__.py"
        content[own] = content[own].replace(f'__version__ = "{old}"'.encode(), f'__version__ = "{version}"'.encode())
        content |= {path: text.encode() for path, text in files.items()}
        for path, data in content.items():
            place = path.replace(f"{name}-{old}.", f"{name}-{version}.", 1)
            if place.endswith(".dist-info/METADATA"):
                data = data.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode(), 1)
            made.writestr(place, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{place},sha256={digest},{len(data)}\n")
        made.writestr(record, "".join(lines) + f"{record},,\n")
    return target


def bundled(wheel: Path, out: Path) -> Path:
    """The bundle of a wheel, for this machine and its Debian's Python."""
    made = [sys.executable, str(ROOT / "packaging" / "bundle.py"), platform.machine(), "--python", debian_python()]
    done = subprocess.run(
        [*made, "--wheel", str(wheel), "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[0])


def unpacked(bundle: Path, folder: Path) -> Path:
    """The folder in which a bundle's install.sh is."""
    with tarfile.open(bundle) as tar:
        tar.extractall(folder, filter="fully_trusted")
    return folder / bundle.name.removesuffix(".tar.gz")
