"""Read one device now, once, through the real driver, and show it.

While the agent runs it is asked to read, on the line that it has open; what is read so is not sent to the IOC.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.cli.asking import refusals_in_words
from agent.cli.borrowing import borrowed
from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_line, show_table, value_text, values_and_quality
from agent.configuration import load_configuration
from agent.control import AgentNotRunning, order_agent
from agent.polling.once import VERB, Once, ReadAnswer, ReadRequest, fingerprint, read_once
from agent.settings import DeviceSettings, LinkSettings, Settings
from drivers.api import Picture, Reading
from drivers.errors import BadReply, DeviceRefused, LinkDown, NoReply


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", help="name of a [[device]] of the configuration")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.add_argument("--save", type=Path, metavar="FILE.jpg", help="take a picture and write it there")


def main(args: argparse.Namespace) -> int:
    settings = load_configuration(args.config).settings
    device, link = _find(settings, args.device)
    if args.save:
        _check_pictures(device, link, args.save)
    found = _read(settings, device, link, with_picture=bool(args.save))
    if found.mismatch:
        raise Failed(f"{device.name}: {found.mismatch}\n  -> {tr('check that the profile fits this exact model')}")
    readings, picture = found.readings, found.picture
    saved = _save(picture, args.save) if picture else {}
    if args.json:
        show_json({"device": device.name, **values_and_quality(readings), **({"picture": saved} if saved else {})})
    else:
        _show(device, readings)
        if saved:
            what = tr(
                "picture: {file}, {width} x {height}, {bytes} bytes; delete it when it is no longer needed", **saved
            )
            show_line(what)
    return 0


def _check_pictures(device: DeviceSettings, link: LinkSettings, file: Path) -> None:
    if not link.spec.gives_pictures(device.profile):
        raise Failed(tr("{name}: this model gives no pictures", name=device.name))
    if device.picture is None:
        hint = tr("no purpose, no picture: add `picture` with `purpose`, `class` and `keep_days` to the device")
        raise Failed(f"{device.name}\n  -> {hint}")
    if file.exists():
        raise Failed(tr("{file} is there already: write another name", file=str(file)))


def _save(picture: Picture, file: Path) -> dict[str, str | int]:
    """Only its owner may read it: there may be persons on it."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as err:
        raise Failed(f"{file}: {err.strerror}") from err
    with os.fdopen(fd, "wb") as out:
        out.write(picture.data)
    return {"file": str(file), "width": picture.width, "height": picture.height, "bytes": len(picture.data)}


def _find(settings: Settings, name: str) -> tuple[DeviceSettings, LinkSettings]:
    device = next((d for d in settings.devices if d.name == name), None)
    if device is None:
        known = ", ".join(d.name for d in settings.devices)
        raise Failed(tr('there is no device "{name}" that is enabled; there are: {known}', name=name, known=known))
    return device, next(link for link in settings.links if link.name == device.link)


def _read(settings: Settings, device: DeviceSettings, link: LinkSettings, *, with_picture: bool) -> Once:
    """Through the running agent, or directly; raises `Failed` with what to try, the same for both."""
    try:
        return _through_agent(settings, device, link, with_picture=with_picture) or _directly(
            settings, device, link, with_picture=with_picture
        )
    except NoReply as err:
        hint = tr("check power, wiring (A/B), unit id and baud rate")
        raise Failed(f"{err}\n  -> {hint}") from err
    except BadReply as err:
        hint = tr("check baud rate and parity, termination, and that no other device has this unit id")
        raise Failed(f"{err}\n  -> {hint}") from err
    except LinkDown as err:
        hint = tr("check the cable and the address, and who else holds the port: `oc-agent ports`")
        raise Failed(f"{err}\n  -> {hint}") from err
    except DeviceRefused as err:
        raise Failed(f"{err}\n  -> {tr('check that the profile fits this exact model')}") from err


def _through_agent(
    settings: Settings, device: DeviceSettings, link: LinkSettings, *, with_picture: bool
) -> Once | None:
    """None where no agent runs, or where it does not read this device as our configuration says."""
    request = ReadRequest(device.name, fingerprint(device, link), with_picture)
    try:
        with refusals_in_words():
            found = order_agent(Path(settings.gateway.runtime_dir), VERB, msgspec.to_builtins(request))
    except AgentNotRunning:
        return None
    answer = msgspec.convert(found, ReadAnswer)
    if answer.found or answer.failed:
        say(tr("read through the running agent"))
    return answer.result()


def _directly(settings: Settings, device: DeviceSettings, link: LinkSettings, *, with_picture: bool) -> Once:
    async def read() -> Once:
        async with link.spec.open_link(link.options) as opened:
            return await read_once(opened, device, link, with_picture=with_picture)

    with borrowed(settings, link, "read"):
        return asyncio.run(read())


def _show(device: DeviceSettings, readings: Sequence[Reading]) -> None:
    units = {p.point.name: p.point.unit for p in device.points}
    rows = [[r.point, value_text(r.value), units[r.point], r.quality or tr("good")] for r in readings]
    show_table([tr("point"), tr("value"), tr("unit"), tr("quality")], rows)
