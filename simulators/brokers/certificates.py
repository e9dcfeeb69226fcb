"""Certificates for tests, made with the openssl of the machine: authorities, and what they sign.

A certificate may begin and end when it likes, or be for another name: what a gateway must refuse has to be made first.
Raises `ChildFailed` where openssl does not do it.
"""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from simulators.processes import ChildFailed

_CONFIG = """\
[ca]
default_ca = it
[it]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = policy
[policy]
commonName = supplied
[leaf]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[alone]
subjectAltName = IP:127.0.0.1
"""
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Pair(NamedTuple):
    """A key and its certificate, as files."""

    key: Path
    certificate: Path


def self_signed(folder: Path, begins: datetime, ends: datetime) -> Pair:
    """A key and a certificate of its own for 127.0.0.1, valid in that time (UTC)."""
    folder.mkdir(parents=True)
    return _signed(folder, "its", "127.0.0.1", "alone", None, (begins, ends))


class Authority:
    """A certificate authority in a folder of its own; `certificate` is the file to trust."""

    def __init__(self, folder: Path, name: str = "CA of the tests") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._pair = _signed(folder, "ca", name, "authority", None, _valid(days=3_650))
        self.certificate = self._pair.certificate

    def issue(
        self,
        name: str,
        *,
        names: str = "",
        days: float = 365.0,
        valid: tuple[datetime, datetime] | None = None,
        file: str = "",
    ) -> Pair:
        """A certificate for `name`, and for the `names` of a subjectAltName; files are named by `file`."""
        return _signed(self._folder, file or name, name, "leaf", self._pair, valid or _valid(days), names)


def _valid(days: float) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(days=1), now + timedelta(days=days)


def _signed(
    folder: Path,
    file: str,
    name: str,
    extensions: str,
    issuer: Pair | None,
    valid: tuple[datetime, datetime],
    names: str = "",
) -> Pair:
    key, request, certificate, config = (folder / f"{file}.{end}" for end in ("key", "csr", "pem", "cnf"))
    config.write_text(_CONFIG.format(folder=folder, names=names and f"subjectAltName = {names}"), encoding="ascii")
    (folder / "index.txt").touch()
    _openssl("req", "-new", *_CURVE, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    times = [text for option, at in zip(("-startdate", "-enddate"), valid, strict=True) for text in (option, _date(at))]
    signer: list[str | Path] = (
        ["-cert", issuer.certificate, "-keyfile", issuer.key] if issuer else ["-selfsign", "-keyfile", key]
    )
    files: list[str | Path] = ["-config", config, "-extensions", extensions, "-in", request, "-out", certificate]
    _openssl("ca", "-batch", "-notext", *signer, *files, *times)
    return Pair(key, certificate)


def _date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H%M%SZ}"


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise ChildFailed("openssl is not installed: apt-get install openssl")
    ended = subprocess.run([program, *arguments], capture_output=True, text=True)  # noqa: S603 # our own arguments
    if ended.returncode:
        raise ChildFailed(f"openssl {arguments[0]}: {ended.stderr.strip()[-500:]}")
