"""The questions about links: the ports that are there, or addresses on the network."""

from agent.cli.init import notation
from agent.cli.init.asking import Question, ask, ask_yes, choose
from agent.cli.init.draft import Draft, Table
from agent.cli.init.instruments import Instruments
from agent.cli.init.looking import Look, refused
from agent.cli.init.notation import NotUnderstood
from agent.cli.messages import tr
from agent.cli.ports.machine import SerialPort, serial_ports


def ask_about_links(draft: Draft, look: Look, instruments: Instruments) -> None:
    """Links and their devices, until there are no more."""
    for link in draft.links:
        instruments.ask_on(link)
    more = tr("Add a link: a serial line, or an address on the network?")
    why = tr("A link is one wire or one address: an RS-485 bus, a serial instrument, a Modbus TCP device.")
    while ask_yes(more, why, default=not draft.links):
        link = _ask_link(draft)
        draft.links.append(link)
        if refused(look(draft)):
            draft.links.remove(link)
            continue
        instruments.ask_on(link)


def _ask_link(draft: Draft) -> Table:
    used = {link.get("port") for link in draft.links}
    ports = [port for port in serial_ports() if not port.console and port.to_write not in used]
    why = tr("The number of a port that is listed, or the path of another, or host:port on the network.")
    default = "1" if ports else ""
    question = Question(tr("Port or address"), why, default, needed=True)
    place = choose(question, [_described(port) for port in ports], also=notation.endpoint)
    keys: Table = {"port": ports[place].to_write} if isinstance(place, int) else place
    kinds = _kinds("port" in keys)
    why = tr(
        "What is spoken there: Modbus RTU on most RS-485 buses; serial for instruments with a protocol of their own."
    )
    kind = choose(Question(tr("Kind"), why, "1", needed=True), list(kinds.values()), also=_no_kind)
    keys = {**notation.KINDS[list(kinds)[kind]], **keys}
    if "port" in keys:
        _ask_line(keys)
    elif "tcp_port" not in keys and keys["kind"] != "modbus":
        why = tr("The number of the port on the serial server.")
        keys["tcp_port"] = ask(Question(tr("Port on the network"), why, "4001"), _whole)
    stem = "bus" if keys["kind"] == "modbus" else str(keys["kind"])
    why = tr("For you and the logs: A-Z a-z 0-9 _ . -")
    return {"name": ask(Question(tr("Name of the link"), why, draft.free_name(stem)), str), **keys}


def _kinds(is_serial: bool) -> dict[str, str]:  # noqa: FBT001 # one of two sorts of link
    instrument = tr("serial: an instrument with a protocol of its own (weather station, particle sensor)")
    camera = tr("camera: VISCA, Pelco-D, VC0706")
    if is_serial:
        return {"rtu": "Modbus RTU", "ascii": "Modbus ASCII", "serial": instrument, "camera": camera}
    gateway = tr("Modbus RTU over TCP: a serial server that passes bytes on")
    return {"tcp": "Modbus TCP", "rtu-over-tcp": gateway, "udp": "Modbus UDP", "serial": instrument, "camera": camera}


def _ask_line(keys: Table) -> None:
    if "baud" not in keys:
        why = tr("As it is set in the devices; all on one bus have the same. 9600 is common, 4800 on many sensors.")
        keys["baud"] = ask(Question(tr("Baud rate"), why, "9600"), _whole)
    if "parity" not in keys:
        why = tr(
            "Data bits, parity, stop bits, as they are set in the devices: 8N1 on most, 8E1 is the norm of Modbus."
        )
        keys |= ask(Question(tr("Data bits, parity, stop bits"), why, "8N1"), notation.character)


def _described(port: SerialPort) -> str:
    adapter = port.adapter
    names = " ".join(filter(None, (adapter.vendor, adapter.product))) if adapter else tr("a port of this board")
    return f"{port.to_write}  {names}"


def _no_kind(_answer: str) -> int:
    raise NotUnderstood(tr("write a number of the list"))


def _whole(answer: str) -> int:
    if not (answer.isascii() and answer.isdigit()):
        raise NotUnderstood(tr("write a whole number"))
    return int(answer)
