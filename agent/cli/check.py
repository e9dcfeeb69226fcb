"""Check the configuration: every error at once, with file and line. Needs no hardware.

Shows what would be read, how much of each bus it takes, and where it would be sent.
"""

import argparse
from typing import Any

from agent.cli.messages import tr
from agent.cli.output import show_json, show_problems, show_table
from agent.configuration import Configuration, forecast, load_configuration
from agent.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    configuration = load_configuration(args.config)
    if args.json:
        show_json(_report(configuration))
        return 0
    settings = configuration.settings
    uplink = settings.uplink
    scheme = "mqtts" if uplink.tls else "mqtt"
    print(
        tr(
            "gateway {id} -> {scheme}://{host}:{port}",
            id=settings.gateway.id,
            scheme=scheme,
            host=uplink.host,
            port=uplink.port,
        )
    )
    show_table(
        [tr("link"), tr("kind"), tr("address"), tr("devices"), tr("points"), tr("load"), tr("with one dead")],
        _rows(settings),
    )
    if configuration.warnings:
        title = tr("{count} warning(s):", count=len(configuration.warnings))
        show_problems(configuration.warnings, as_json=False, title=title)
    print(tr("The configuration is good."))
    return 0


def _rows(settings: Settings) -> list[list[str]]:
    rows = []
    for link in settings.links:
        devices = settings.on_link(link.name)
        points = sum(len(device.points) for device in devices)
        found = forecast(link, devices)
        loads = [f"{found.load:.1%}", f"{found.worst:.1%}"]
        rows.append([link.name, link.spec.kind, link.options.endpoint, str(len(devices)), str(points), *loads])
    return rows


def _report(configuration: Configuration) -> dict[str, Any]:
    settings = configuration.settings
    forecasts = {link.name: forecast(link, settings.on_link(link.name)) for link in settings.links}
    return {
        "ok": True,
        "warnings": configuration.warnings,
        "gateway": settings.gateway.id,
        "uplink": {"host": settings.uplink.host, "port": settings.uplink.port, "tls": settings.uplink.tls},
        "links": [
            {
                "link": link.name,
                "kind": link.spec.kind,
                "endpoint": link.options.endpoint,
                "load_pct": round(100 * forecasts[link.name].load, 1),
                "worst_pct": round(100 * forecasts[link.name].worst, 1),
                "longest_wait_s": round(forecasts[link.name].longest_wait_s, 3),
                "devices": [
                    {
                        "device": d.name,
                        "profile": d.profile_name,
                        "unit": d.unit,
                        "points": [p.point.name for p in d.points],
                    }
                    for d in settings.on_link(link.name)
                ],
            }
            for link in settings.links
        ],
    }
