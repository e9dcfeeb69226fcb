"""The way to the broker: name, port, files, TLS, certificates; then the login, ours or that of the running agent."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.cli.doctor.dates import dates_of_broker, dates_of_gateway
from agent.cli.doctor.finding import Case, Finding, broken, ok, warn
from agent.cli.doctor.login import login
from agent.cli.doctor.running import as_it_says
from agent.cli.messages import tr
from agent.control import AgentNotRunning, ask_agent
from agent.uplink.errors import UplinkDown
from agent.uplink.formats.ocg1.topics import Topics
from agent.uplink.mqtt import MqttOptions, Will
from agent.uplink.mqtt.tls.naming import network_fault
from agent.uplink.mqtt.tls.trial import shown_certificate, trial


def examine(case: Case) -> Iterator[Finding]:
    """From the outside to the inside; where one thing fails, what depends on it is not tried."""
    settings = case.configuration.settings
    topics = Topics(settings.gateway.id)
    options = MqttOptions.of(settings, Will(topics.status, b""))
    reached = False
    for finding in _reached(case, options):
        yield finding
        reached = finding.state == "ok"
    safe = reached
    if options.tls:
        if options.cert_file:
            yield from dates_of_gateway(case, options)
        if reached:
            for finding in _shaken(case, options):
                yield finding
                safe = safe and finding.state != "fail"
    try:
        report = ask_agent(Path(settings.gateway.runtime_dir), "status")
    except AgentNotRunning:
        if safe and not case.args.no_login:
            yield from login(case, options, topics)
    except PermissionError:
        text = tr("the agent may be running, and you may not ask it: no login was tried")
        yield warn("login", text, tr("use sudo, or join its group"))
    else:
        yield from as_it_says(report)


def _reached(case: Case, options: MqttOptions) -> Iterator[Finding]:
    """Name and port."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        addresses = ", ".join(sorted({str(address[0]) for *_, address in found}))
        yield ok("name", tr("{host} is {addresses}", host=options.host, addresses=addresses))
        began = time.monotonic()
        with socket.create_connection((options.host, options.port), options.connect_timeout_s):
            took_ms = f"{1000 * (time.monotonic() - began):.0f}"
        yield ok("port", tr("port {port} takes connections, after {ms} ms", port=options.port, ms=took_ms))
    except OSError as err:
        name = "name" if isinstance(err, socket.gaierror) else "port"
        yield broken(case, name, UplinkDown.by(network_fault(err, options)))


def _shaken(case: Case, options: MqttOptions) -> Iterator[Finding]:
    """The files of this gateway, the handshake, and the certificate that the broker shows."""
    refusal, version = trial(options)
    if refusal:
        yield _for_you(broken(case, "tls", refusal))
    else:
        trusted = options.ca_file or tr("the authorities of this system")
        yield ok("tls", tr("{version}, the broker is verified by {ca}", version=version, ca=trusted))
    certificate = shown_certificate(options)
    if certificate:
        yield from dates_of_broker(case, certificate)


def _for_you(finding: Finding) -> Finding:
    """Whoever examines may see less than the service does."""
    if finding.code != "file_unreadable" or os.geteuid() == 0:
        return finding
    return msgspec.structs.replace(finding, advice=tr("if you are not the user of the service: use sudo"))
