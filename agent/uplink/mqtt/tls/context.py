"""From the files of this gateway to what a connection needs: the TLS context and the password. Blocks.

Every fault of a file is said by name, as `UplinkDown`; a file that others may read is not used. Nothing ever asks for
a passphrase: there is nobody at the terminal of a service.
"""

import ssl
from pathlib import Path
from typing import Final

from agent.secret_file import mending, readers
from agent.uplink.errors import UplinkDown
from agent.uplink.faults import Fault
from agent.uplink.mqtt.options import MqttOptions

_MISMATCH: Final = "KEY_VALUES_MISMATCH"


class _Passphrase(Exception):
    """OpenSSL has asked for one."""


def tls_context(options: MqttOptions) -> ssl.SSLContext:
    """A context that verifies the broker and its name, from TLS 1.2, with our certificate; raises `UplinkDown`."""
    try:
        context = ssl.create_default_context(cafile=_there(options.ca_file) or None)
    except ssl.SSLError as err:
        raise _fault("ca_not_pem", options.ca_file) from err
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.cert_file:
        _present_ourselves(context, _there(options.cert_file), _secret(options.key_file) or options.cert_file)
    return context


def password_of(options: MqttOptions) -> str | None:
    """The password without the newline that editors put behind it; raises `UplinkDown`."""
    if not options.password_file:
        return None
    try:
        password = Path(_secret(options.password_file)).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise _fault("not_utf8", options.password_file) from err
    if not password:
        raise _fault("password_empty", options.password_file)
    return password


def _present_ourselves(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_refuse)
    except _Passphrase as err:
        raise _fault("key_encrypted", key) from err
    except ssl.SSLError as err:
        if err.reason == _MISMATCH:
            raise _fault("key_mismatch", key, other=certificate) from err
        good = _holds_certificate(certificate)
        raise (_fault("key_not_pem", key) if good else _fault("cert_not_pem", certificate)) from err


def _refuse() -> str:
    raise _Passphrase


def _holds_certificate(file: str) -> bool:
    """Whether the certificate is not what is wrong with a pair."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return False
    return True


def _secret(file: str) -> str:
    """`file`, where others may not read it."""
    if _there(file) and readers(Path(file)) == "others":
        raise _fault("file_exposed", file, command=mending(Path(file)))
    return file


def _there(file: str) -> str:
    """`file`, where it can be read; empty where there is none to read."""
    try:
        if file:
            Path(file).open("rb").close()
    except FileNotFoundError as err:
        raise _fault("file_missing", file) from err
    except OSError as err:
        raise _fault("file_unreadable", file, detail=str(err.strerror)) from err
    return file


def _fault(code: str, file: str, **values: str) -> UplinkDown:
    return UplinkDown.by(Fault(code, {"file": file, **values}))
