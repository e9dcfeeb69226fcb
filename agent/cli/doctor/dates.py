"""From when until when certificates are good: the broker's, and our own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent.cli.doctor.finding import Case, Finding, fail, ok, warn
from agent.cli.messages import tr
from agent.uplink.mqtt import MqttOptions
from agent.uplink.mqtt.tls.certificate import Certificate, certificate_in

DAY_MS: Final = 86_400_000
SOON_MS: Final = 30 * DAY_MS


def dates_of_gateway(case: Case, options: MqttOptions) -> Iterator[Finding]:
    """Our own certificate; nothing where it cannot be read, for the handshake says that by name."""
    try:
        certificate = certificate_in(Path(options.cert_file))
    except (OSError, ValueError):
        return
    yield _dates(case, "own_certificate", tr("the certificate {file}", file=options.cert_file), certificate)
    if certificate.name != options.client_id:
        text = tr(
            "the certificate is for {name}, and this gateway is {id}", name=certificate.name, id=options.client_id
        )
        yield warn("own_name", text, tr("have it issued for the id of the gateway, or change `gateway.id`"))


def dates_of_broker(case: Case, certificate: Certificate) -> Iterator[Finding]:
    """What the broker shows."""
    name = tr("the broker's certificate ({name}, issued by {issuer})", name=certificate.name, issuer=certificate.issuer)
    yield _dates(case, "certificate", name, certificate)


def _dates(case: Case, check: str, which: str, certificate: Certificate) -> Finding:
    now_ms = case.clock.wall_ms()
    begins, ends = (_date(at_ms) for at_ms in (certificate.begins_ms, certificate.expires_ms))
    advice = tr("have it renewed in time")
    if now_ms < certificate.begins_ms:
        advice = tr("set the clock, or wait, or have it issued anew")
        return fail(check, tr("{which} is not valid before {date}", which=which, date=begins), advice)
    if now_ms > certificate.expires_ms:
        return fail(check, tr("{which} has expired on {date}", which=which, date=ends), tr("have it renewed now"))
    days = (certificate.expires_ms - now_ms) // DAY_MS
    text = tr("{which} is good until {date}, {days} days", which=which, date=ends, days=days)
    return warn(check, text, advice) if certificate.expires_ms - now_ms < SOON_MS else ok(check, text)


def _date(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
