"""Show the state of the running agent: links, devices with their last values and ages, outbox, uplink."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.change import settings_hash
from agent.cli.faults import said_at_once
from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import Failed, show_json, show_table, value_text
from agent.configuration import load_configuration
from agent.control import AgentNotRunning, ask_agent

DAY_MS = 86_400_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    settings = load_configuration(args.config).settings
    runtime_dir = Path(settings.gateway.runtime_dir)
    try:
        report = ask_agent(runtime_dir, "status")
    except AgentNotRunning as err:
        raise Failed(tr("no agent is running on {place}: start it, or see its log", place=runtime_dir)) from err
    except PermissionError as err:
        raise Failed(tr("you may not ask the agent: use sudo, or join its group")) from err
    if "configuration" in report:
        on_disk = settings_hash(settings)
        report["configuration"] |= {"on_disk": on_disk, "is_on_disk": on_disk == report["configuration"]["hash"]}
    if args.json:
        show_json(report)
    else:
        _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    uplink, outbox = report["uplink"], report["outbox"]
    print(
        tr(
            "gateway {gateway}, oc-agent {version}, clock {clock}",
            **{k: report[k] for k in ("gateway", "version", "clock")},
        )
    )
    if configuration := report.get("configuration"):
        _show_configuration(configuration)
    error = said_at_once(uplink.get("fault"), uplink["error"])
    state = tr("connected") if uplink["connected"] else tr("not connected: {error}", error=error or "…")
    print(
        tr("uplink {broker}: {state}; acknowledged by: {ack}", broker=uplink["broker"], state=state, ack=uplink["ack"])
    )
    if certificate := report.get("certificate"):
        days = (certificate["expires_ms"] - report["time_ms"]) // DAY_MS
        date = f"{datetime.fromtimestamp(certificate['expires_ms'] / 1000, UTC):%Y-%m-%d}"
        print(tr("certificate {file}: until {date}, {days} days", file=certificate["file"], date=date, days=days))
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
    if report["clock"] == "unsync" and waiting:
        hold_s = f"{report['hold_unsynced_s']:g}"
        text = tr(
            "the clock was not set in this boot yet: {waiting} readings wait for it, at most {hold_s} s",
            waiting=waiting,
            hold_s=hold_s,
        )
        print(text)
    for link in report["links"]:
        print()
        text = tr("up") if link["up"] else tr("DOWN: {error}", error=link["error"] or "…")
        print(tr("link {link} ({endpoint}): {state}", link=link["link"], endpoint=link["endpoint"], state=text))
        show_table([tr("device"), tr("point"), tr("value"), tr("unit"), tr("quality"), tr("age")], _rows(link))


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


def _rows(link: dict[str, Any]) -> list[list[str]]:
    rows = []
    for device in link["devices"]:
        if device["error"] or not device["points"]:
            rows.append([device["device"], "—", "—", "—", device["error"] or tr("not read yet"), "—"])
        for point in device["points"]:
            quality = point["quality"] or tr("good")
            age = f"{point['age_s']:g} s"
            rows.append([device["device"], point["point"], value_text(point["value"]), point["unit"], quality, age])
    return rows
