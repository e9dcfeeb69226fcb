"""Certificates for tests, made with the openssl of the machine."""

import subprocess
from datetime import datetime
from pathlib import Path

_CONFIG = """\
[ca]
default_ca = it
[it]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = policy
x509_extensions = extensions
[policy]
commonName = supplied
[extensions]
subjectAltName = IP:127.0.0.1
"""


def self_signed(folder: Path, begins: datetime, ends: datetime) -> tuple[Path, Path]:
    """A key and a certificate of its own for 127.0.0.1, valid in that time (UTC)."""
    folder.mkdir()
    key, request, certificate, config = (folder / name for name in ("its.key", "its.csr", "its.pem", "ca.cnf"))
    config.write_text(_CONFIG.format(folder=folder), encoding="ascii")
    (folder / "index.txt").touch()
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl("req", "-new", *curve, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1")
    times = ["-startdate", f"{begins:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}"]
    files = ["-config", config, "-keyfile", key, "-in", request, "-out", certificate]
    _openssl("ca", "-batch", "-notext", "-selfsign", *files, *times)
    return key, certificate


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
