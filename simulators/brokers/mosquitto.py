"""How a mosquitto of our own is set up: its configuration, passwords and access rules, as text."""

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from simulators.brokers.certificates import Pair

SALT_BYTES = 12


@dataclass(frozen=True)
class BrokerOptions:
    """What a mosquitto shall be like; nothing is stored, and without `users` everybody may connect.

    `users`: passwords by name. `acl`: access rules as in an `acl_file`. `certificate`: it speaks TLS and shows this; a
    second port without TLS lets everybody in, for the IOC and the clients of the test. `client_ca`: clients must show
    a certificate of these authorities (a PEM file), whose name is their user. `lines`: more lines of its configuration,
    for the first port. `config`: the whole configuration, instead of all that.
    """

    max_queued_messages: int = 100_000
    users: Mapping[str, str] = field(default_factory=dict)
    acl: str = ""
    certificate: Pair | None = None
    client_ca: Path | None = None
    lines: str = ""
    config: str = ""


def configuration(options: BrokerOptions, host: str, port: int, plain_port: int, folder: Path) -> dict[str, str]:
    """The files of `folder` that it reads, by name; `mosquitto.conf` is the first."""
    if options.config:
        return {"mosquitto.conf": options.config}
    files = {"mosquitto.conf": _configuration(options, host, port, plain_port, folder)}
    if options.users:
        files["users"] = "".join(f"{name}:{_hashed(password)}\n" for name, password in options.users.items())
    if options.acl:
        files["acl"] = options.acl
    return files


def _configuration(options: BrokerOptions, host: str, port: int, plain_port: int, folder: Path) -> str:
    common = f"persistence false\nmax_queued_messages {options.max_queued_messages}\nset_tcp_nodelay true\n"
    if os.geteuid() == 0:
        common += "user root\n"  # else it becomes a user who may not read this folder
    if options.certificate:
        common += "per_listener_settings true\n"
    first = f"listener {port} {host}\n" + _access(options, folder) + _tls(options) + _whole_lines(options.lines)
    second = f"listener {plain_port} {host}\nallow_anonymous true\n" if options.certificate else ""
    return common + first + second


def _access(options: BrokerOptions, folder: Path) -> str:
    acl = f"acl_file {folder / 'acl'}\n" if options.acl else ""
    if options.users:
        return f"allow_anonymous false\npassword_file {folder / 'users'}\n{acl}"
    return f"allow_anonymous true\n{acl}"


def _tls(options: BrokerOptions) -> str:
    if options.certificate is None:
        return ""
    text = f"certfile {options.certificate.certificate}\nkeyfile {options.certificate.key}\n"
    if options.client_ca:
        text += f"cafile {options.client_ca}\nrequire_certificate true\nuse_identity_as_username true\n"
    return text


def _whole_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _hashed(password: str) -> str:
    """As `mosquitto_passwd` of every version understands it: SHA-512 of password and salt, both in base64."""
    salt = os.urandom(SALT_BYTES)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
