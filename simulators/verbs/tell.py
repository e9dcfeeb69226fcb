"""Tell a run that has a control socket (--control PATH) what to change now, or ask how it is.

  oc-sim tell SOCKET set meter-1.voltage=231.5 ups-1.on_battery=true
  oc-sim tell SOCKET release [meter-1.voltage | meter-1]...
  oc-sim tell SOCKET fault "no_reply on=meter-1 for=5"
  oc-sim tell SOCKET heal [NAME] [--on DEVICE_OR_LINK]
  oc-sim tell SOCKET state [DEVICE]

Exit codes: 0 done, 1 refused or nobody answers, 2 usage.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from simulators.control.client import NobodyAnswers, OrderRefused, order
from simulators.output import show_line, show_text

Order = tuple[str, Any]
ORDERS = ("set", "release", "fault", "heal", "state")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("socket", type=Path, metavar="SOCKET", help="what --control of the run says")
    parser.add_argument("order", choices=ORDERS, help="what to do")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="which points, which fault, which device")
    parser.add_argument("--on", default="*", metavar="NAME", help="heal: on this device or link only")
    parser.add_argument("--json", action="store_true", help="answers as JSON lines")


def main(args: argparse.Namespace) -> int:
    try:
        orders = list(_orders(args.order, args.what, args.on))
    except ValueError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    try:
        for name, said in orders:
            _show(name, order(args.socket, name, said), as_json=args.json)
    except (NobodyAnswers, OrderRefused) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _orders(name: str, what: Sequence[str], on: str) -> Iterator[Order]:
    """Raises `ValueError`, saying what to write."""
    match name, what:
        case "set", [_, *_]:
            yield from (("set", _value(one)) for one in what)
        case "release", []:
            yield "release", {}
        case "release", _:
            yield from (("release", _which(one)) for one in what)
        case "fault", [_, *_]:
            yield "fault", " ".join(what)
        case "heal", [] | [_]:
            yield "heal", {"name": what[0] if what else "*", "on": on}
        case "state", [] | [_]:
            yield "state", {"device": what[0]} if what else {}
        case _:
            like = {"set": "set meter-1.voltage=231.5", "fault": 'fault "no_reply on=meter-1 for=5"'}
            raise ValueError(f"write {like.get(name, name + ' and one name at most')}")


def _value(text: str) -> dict[str, str]:
    """All values go as text: the run knows whether a point is a number."""
    which, given, value = text.partition("=")
    device, dot, point = which.rpartition(".")
    if not (given and dot and device and point):
        raise ValueError(f'"{text}" is not understood: write device.point=value, like meter-1.voltage=231.5')
    return {"device": device, "point": point, "value": value}


def _which(text: str) -> dict[str, str]:
    device, dot, point = text.rpartition(".")
    return {"device": device, "point": point} if dot else {"device": text}


def _show(name: str, answer: Any, *, as_json: bool) -> None:
    if as_json:
        show_line({name: answer})
        return
    match name:
        case "set":
            show_text(f"{answer['device']}.{answer['point']} = {_written(answer['value'])}")
        case "release":
            show_text(f"released {answer}")
        case "fault":
            show_text(f"from now on: {_fault(answer)}")
        case "heal":
            show_text(f"healed {answer}")
        case "state":
            show_text("\n".join(_state(answer)))


def _state(state: dict[str, Any]) -> Iterator[str]:
    yield f"{state['elapsed_s']:.1f} s since the start, seed {state['seed']}"
    for name, device in state["devices"].items():
        met = ", ".join(f"{fault} {count}" for fault, count in device["faults"].items())
        asked = f"{device['requests']} requests, {device['unasked']} unasked"
        yield f"\n{name} on {device['link']}: {asked}{', met ' + met if met else ''}"
        for point, now in device["points"].items():
            origin = "" if now["from"] == "waveform" else now["from"]
            yield f"  {point:<32} {_written(now['value']):>16} {now['unit']:<8} {origin}".rstrip()
    for fault in state["faults"]:
        yield f"\n{'now' if fault['active'] else 'not now'}: {_fault(fault)}"


def _fault(fault: dict[str, Any]) -> str:
    rest = (f"{key}={value:g}" for key, value in fault.items() if key not in ("name", "on", "active"))
    return f"{fault['name']} on={fault['on']} {' '.join(rest)}"


def _written(value: Any) -> str:
    return "none" if value is None else str(value)
