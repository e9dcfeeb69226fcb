"""What a certificate says of itself, against what openssl says of it."""

import random
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.uplink.mqtt.tls.certificate import certificate_in, certificate_of
from simulators.brokers.certificates import Authority, Pair


def _openssl(file: Path, *arguments: str) -> str:
    command = ["openssl", "x509", "-in", str(file), "-noout", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("=")[2].strip()


def test_names_dates_and_fingerprint_are_those_that_openssl_gives(tmp_path: Path) -> None:
    city = Authority(tmp_path / "city", "Thanh pho CA")
    far = (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2051, 1, 2, 3, 4, 5, tzinfo=UTC))
    for pair in (city.issue("dng-hc-01", names="DNS:x"), city.issue("far", valid=far), Pair(Path(), city.certificate)):
        found = certificate_in(pair.certificate)
        assert found.begins_ms == ssl.cert_time_to_seconds(_openssl(pair.certificate, "-startdate")) * 1000
        assert found.expires_ms == ssl.cert_time_to_seconds(_openssl(pair.certificate, "-enddate")) * 1000
        assert found.fingerprint == _openssl(pair.certificate, "-fingerprint", "-sha256").replace(":", "").lower()
        assert found.name in _openssl(pair.certificate, "-subject")
        assert found.issuer == "Thanh pho CA"


def test_the_first_certificate_of_a_chain_counts_also_behind_a_key(tmp_path: Path) -> None:
    city = Authority(tmp_path / "city")
    pair = city.issue("dng-hc-01")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"".join(file.read_bytes() for file in (pair.key, pair.certificate, city.certificate)))
    assert certificate_in(chain).name == "dng-hc-01"


def test_what_is_no_certificate_is_a_value_error_and_nothing_else(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "city").issue("dng-hc-01")
    for text in ("", "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----", pair.certificate.read_text()[:200]):
        (tmp_path / "bad.pem").write_text(text)
        with pytest.raises(ValueError, match="no certificate"):
            certificate_in(tmp_path / "bad.pem")
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
    chance, refused = random.Random(8_883), 0
    for _ in range(2_000):
        spoiled = bytearray(der[: chance.randrange(len(der) + 1)] if chance.random() < 0.3 else der)
        for _ in range(min(3, len(spoiled))):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        try:
            certificate_of(bytes(spoiled))
        except ValueError:
            refused += 1
    assert refused > 500
