"""Show the state of the running agent: links, devices with their last values and ages, outbox, uplink."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.change import settings_hash
from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import show_json, show_table
from agent.cli.state import certificate_text, gateway_text, head, link_text, report_of, rows, uplink_text
from agent.configuration import load_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    settings = load_configuration(args.config).settings
    report = report_of(Path(settings.gateway.runtime_dir), "status")
    if "configuration" in report:
        on_disk = settings_hash(settings)
        report["configuration"] |= {"on_disk": on_disk, "is_on_disk": on_disk == report["configuration"]["hash"]}
    if args.json:
        show_json(report)
    else:
        _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    outbox = report["outbox"]
    print(gateway_text(report))
    if configuration := report.get("configuration"):
        _show_configuration(configuration)
    print(uplink_text(report))
    if certificate := certificate_text(report):
        print(certificate)
    print(
        tr(
            "outbox: {undelivered} batches wait, the oldest for {oldest_s} s; {bytes} bytes on disk",
            **{k: outbox[k] for k in ("undelivered", "oldest_s", "bytes")},
        )
    )
    account = report["account"]
    print(
        tr(
            "account: {accepted} readings = {delivered} delivered + {stored} waiting + {lost} lost",
            **{key: account[key] for key in ("accepted", "delivered", "stored")},
            lost=sum(account["lost"].values()),
        )
    )
    cameras = [device for link in report["links"] for device in link["devices"] if "pictures" in device]
    if cameras:
        counts = {key: sum(device[key] for device in cameras) for key in ("pictures", "pictures_failed")}
        text = tr(
            "pictures: {pictures} taken, {pictures_failed} failed; {waiting} wait to be sent; {bytes} bytes on disk",
            **counts,
            **report["pictures"],
        )
        print(text)
    waiting = report["account"]["waiting"]
    if report["clock"] == "unsync" and waiting and report["hold_unsynced_s"]:
        hold_s = f"{report['hold_unsynced_s']:g}"
        text = tr(
            "the clock was not set in this boot yet: {waiting} readings wait for it, at most {hold_s} s",
            waiting=waiting,
            hold_s=hold_s,
        )
        print(text)
    for link in report["links"]:
        print()
        print(link_text(link))
        show_table(head(), [row for device in link["devices"] for row in rows(device)])


def _show_configuration(configuration: dict[str, Any]) -> None:
    """Only where there is something to do."""
    if configuration["is_on_disk"]:
        return
    since = f"{datetime.fromtimestamp(configuration['time_ms'] / 1000, UTC).astimezone():%Y-%m-%d %H:%M}"
    words = {"running": configuration["hash"], "since": since, "on_disk": configuration["on_disk"]}
    texts = [tr("the files have another configuration ({on_disk}) than runs ({running}, since {since})", **words)]
    if configuration["rolled_back"]:
        texts.append(tr("it was rolled back: {why}", why=configuration["rolled_back"]))
    texts.append(tr("`oc-agent reload` takes it over; a restart would too"))
    for text in texts:
        print("\n".join(wrapped(text, rest="    ")))
