"""The questions about the gateway itself and its way to the IOC. What the draft has already is not asked."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.cli.init import notation
from agent.cli.init.asking import Question, ask, ask_secret
from agent.cli.init.draft import Draft, wrong
from agent.cli.init.notation import NotUnderstood
from agent.cli.messages import tr
from agent.cli.problems import worded
from drivers.tomlfile import nfc


def ask_about_gateway(draft: Draft) -> None:
    """Who this gateway is, and where."""
    if "id" not in draft.gateway:
        why = tr(
            "Its name at the IOC: client id, name in its certificate, level of the topics. Each gateway has another."
        )
        question = Question(tr("Gateway id"), why, _host_name(), needed=True)
        draft.gateway["id"] = ask(question, _checked("gateway", "id"))
    if "oc" not in draft.site:
        why = tr(
            "The code of the operations centre that this gateway belongs to; the IOC has given it, like oc-haichau."
        )
        draft.site["oc"] = ask(Question(tr("Code of the operations centre"), why, needed=True), _checked("site", "oc"))
    if "name" not in draft.site:
        why = tr("What people call the operations centre; shown at the IOC. Empty: none.")
        names = {
            "vi": ask(Question(tr("Its name in Vietnamese"), why), nfc),
            "en": ask(Question(tr("Its name in English"), why), nfc),
        }
        draft.site["name"] = {language: name for language, name in names.items() if name}
    if "location" not in draft.site:
        why = tr("Longitude and latitude (WGS 84), like 108.2208,16.0678. Empty: not told.")
        place = ask(Question(tr("Longitude,latitude"), why), _location)
        if place:
            draft.site["location"] = place


def ask_about_uplink(draft: Draft, folder: Path) -> None:
    """The broker, the files of TLS, the login. Paths may be relative to `folder`, where the configuration will be."""
    if "host" not in draft.uplink:
        why = tr(
            "mqtts://host:8883, as the IOC has given it. mqtt:// is not encrypted; wss:// where only the web passes."
        )
        draft.uplink |= ask(Question(tr("Broker of the IOC"), why, needed=True), _broker)
    if draft.uplink.get("tls", True):
        _ask_files(draft, folder)
    if "username" not in draft.uplink:
        why = tr("Where the broker wants a name and a password. Empty: it knows the gateway by its certificate.")
        if name := ask(Question(tr("User name at the broker"), why), str):
            draft.uplink["username"] = name
    if "username" in draft.uplink and "password_file" not in draft.uplink:
        why = tr("It is not shown, and kept in a file that only the service may read. Empty: none.")
        draft.password = ask_secret(tr("Password (not shown)"), why)


def _ask_files(draft: Draft, folder: Path) -> None:
    asked: list[tuple[str, str, str]] = [
        ("ca_file", tr("File of the authority that signed the broker's certificate"),
         tr("PEM, as the IOC has given it. Empty: the authorities that the system trusts.")),
        ("cert_file", tr("File of this gateway's certificate"),
         tr("PEM; its name is the gateway id. Empty: none, where the broker wants a name and a password.")),
        ("key_file", tr("File of its key"),
         tr("PEM, without a passphrase; only the service may read it.")),
    ]  # fmt: skip
    for key, text, why in asked:
        if key in draft.uplink or (key == "key_file" and "cert_file" not in draft.uplink):
            continue
        if path := ask(Question(text, why, needed=key == "key_file"), _file_in(folder)):
            draft.uplink[key] = path


def _file_in(folder: Path) -> Callable[[str], str]:
    def parsed(answer: str) -> str:
        try:
            if answer and not (folder / answer).is_file():
                raise NotUnderstood(tr("there is no file {path}: copy it there first", path=folder / answer))
        except PermissionError:
            pass  # what only the service may see
        return answer

    return parsed


def _checked(table: str, key: str) -> Callable[[str], str]:
    """What is asked of `table.key` in the configuration is asked of the answer."""

    def parsed(answer: str) -> str:
        if found := wrong(table, key, answer):
            raise NotUnderstood(worded(found))
        return answer

    return parsed


def _broker(answer: str) -> dict[str, Any]:
    found = notation.broker(answer)
    for key, value in found.items():
        if problem := wrong("uplink", key, value):
            raise NotUnderstood(worded(problem))
    return found


def _location(answer: str) -> list[float] | None:
    if not answer:
        return None
    place = notation.location(answer)
    if found := wrong("site", "location", place):
        raise NotUnderstood(worded(found))
    return place


def _host_name() -> str:
    """The name of this machine where it can be the id of a gateway."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().partition(".")[0].casefold()).strip("-")
    return "" if not name or wrong("gateway", "id", name) or name in ("raspberrypi", "localhost") else name
