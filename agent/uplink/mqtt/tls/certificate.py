"""What a certificate says of itself: for whom, by whom, from when until when. Pure, but for reading the file.

The standard library tells this only of the certificate of a peer that was verified. Reads DER as far as the subject
(RFC 5280, 4.1); what it means is for OpenSSL to judge.
"""

import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0
_COMMON_NAME: Final = bytes.fromhex("550403")
_BMP_STRING: Final = 0x1E


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """`name` and `issuer` are common names, empty where there is none; times are milliseconds since 1970 UTC.

    `fingerprint` is the SHA-256 of the DER form, in hexadecimal.
    """

    name: str
    issuer: str
    begins_ms: int
    expires_ms: int
    fingerprint: str


def certificate_in(file: Path) -> Certificate:
    """The first certificate of a PEM file; raises OSError, and ValueError where there is none that can be read."""
    text = file.read_bytes().decode("ascii", errors="replace")
    first, last = text.find(_BEGIN), text.find(_END)
    if first < 0 or last < first:
        raise ValueError(f"{file}: no certificate in PEM form")
    return certificate_of(ssl.PEM_cert_to_DER_cert(text[first : last + len(_END)]))


def certificate_of(der: bytes) -> Certificate:
    """Read a certificate in DER; raises ValueError."""
    try:
        outer = next(_parts(der))
        fields = [part for part in _parts(next(_parts(outer.content)).content) if part.tag != _VERSION]
        _serial, _algorithm, issuer, validity, subject = fields[:5]
        begins, expires = _parts(validity.content)
        return Certificate(
            name=_common_name(subject.content),
            issuer=_common_name(issuer.content),
            begins_ms=_time_ms(begins),
            expires_ms=_time_ms(expires),
            fingerprint=hashlib.sha256(der).hexdigest(),
        )
    except (IndexError, StopIteration, ValueError) as err:
        raise ValueError(f"this is no certificate: {err}") from err


class _Part(NamedTuple):
    tag: int
    content: bytes


def _parts(data: bytes) -> Iterator[_Part]:
    """The values that stand one after another in `data` (X.690, 8.1)."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield _Part(tag, data[at : at + length])
        at += length


def _common_name(name: bytes) -> str:
    """The last common name of a distinguished name; empty where it has none."""
    found = ""
    for relative in _parts(name):
        for attribute in _parts(relative.content):
            kind, value = _parts(attribute.content)
            if kind.content == _COMMON_NAME:
                found = value.content.decode("utf-16-be" if value.tag == _BMP_STRING else "utf-8", errors="replace")
    return found


def _time_ms(part: _Part) -> int:
    """A time of RFC 5280, 4.1.2.5: two digits of the year are 1950 to 2049."""
    text = part.content.decode("ascii")
    if part.tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif part.tag != _GENERALIZED_TIME:
        raise ValueError("where a time should be there is none")
    at = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)
