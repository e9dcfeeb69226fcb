"""The questions about the devices on a link: the profile is found by words; unit, name, label and interval follow."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from agent.cli.init import notation
from agent.cli.init.asking import Question, ask, choose, explain
from agent.cli.init.draft import Draft, Table
from agent.cli.init.looking import Look, refused
from agent.cli.init.notation import NotUnderstood
from agent.cli.messages import in_language, tr
from agent.cli.profiles.catalogue import has_words, readable_profiles
from drivers.profile import Language, Profile
from drivers.tomlfile import nfc

SHOWN = 12
Named = tuple[str, Profile]


class Instruments:
    """Asks for the devices of a draft. Reads the profiles once: that takes a while on a small board."""

    def __init__(self, draft: Draft, look: Look, folder: Path) -> None:
        self._draft = draft
        self._look = look
        self._folder = folder

    def ask_on(self, link: Table) -> None:
        """Devices on `link`, until there are no more; each is looked at before the next."""
        text = tr("Device on {link}: words to find its profile (empty: no more)", link=link["name"])
        why = tr("Its maker, its model or what it measures, or the name of its profile, like eastron/sdm120.")
        while words := ask(Question(text, why), str.split):
            found = self._choose(str(link["kind"]), words)
            if found is None:
                continue
            device = self._details(link, *found)
            self._draft.devices.append(device)
            if refused(self._look(self._draft)):
                self._draft.devices.remove(device)

    def _choose(self, kind: str, words: Sequence[str]) -> Named | None:
        fitting = [one for one in self._profiles if one[1].kind == kind]
        found = [one for one in fitting if [one[0]] == words] or [one for one in fitting if has_words(*one, words)]
        if not found:
            explain(tr("no profile of kind {kind} has all of these words: see `oc-agent profiles list`", kind=kind))
            return None
        if len(found) > SHOWN:
            explain(tr("{count} profiles have these words; the first {shown}:", count=len(found), shown=SHOWN))
        why = tr("Its number in the list; `-`: none of them, look for other words.")
        listed = [f"{name}  {in_language(profile.label)}" for name, profile in found[:SHOWN]]
        sure = len(found) == 1  # else a wrong map would be a matter of pressing Enter
        question = Question(tr("Profile"), why, "1") if sure else Question(tr("Profile (empty: none of these)"), why)
        place = choose(question, listed, also=_none)
        return None if place is None else found[place]

    def _details(self, link: Table, name: str, profile: Profile) -> Table:
        for caveat in profile.caveats:
            explain(tr("note: {caveat}", caveat=caveat))
        device: Table = {"name": "", "link": link["name"], "profile": name}
        unit = self._unit(link)
        if unit is not None:
            device["unit"] = unit
        why = tr("For you and the IOC: A-Z a-z 0-9 _ . - It cannot be changed later without a new device at the IOC.")
        free = self._draft.free_name(name.rpartition("/")[2].removesuffix(".toml"))
        device["name"] = ask(Question(tr("Name of the device"), why, free, needed=True), str)
        why = tr("How often it is read. A point of the profile may have its own interval.")
        device["interval_s"] = ask(Question(tr("Interval"), why, "10s", needed=True), notation.seconds)
        if label := self._label(profile):
            device["label"] = label
        return device

    def _unit(self, link: Table) -> int | None:
        used = {one.get("unit") for one in self._draft.devices if one["link"] == link["name"]}
        free = next(unit for unit in range(1, 257) if unit not in used)
        default = str(free) if link["kind"] == "modbus" else ""
        why = tr("The address that is set in the device: 1 to 247 on a Modbus bus. `-`: it has none.")
        return ask(Question(tr("Unit id"), why, default), _unit)

    def _label(self, profile: Profile) -> dict[Language, str]:
        why = tr("What people call it, shown at the IOC: what and where. `-`: nothing.")
        vietnamese = Question(tr("Label in Vietnamese"), why, profile.label.get("vi", ""))
        english = Question(tr("Label in English"), why, profile.label.get("en", ""))
        asked: dict[Language, str] = {"vi": ask(vietnamese, nfc), "en": ask(english, nfc)}
        return {language: label for language, label in asked.items() if label}

    @cached_property
    def _profiles(self) -> list[Named]:
        return [(name, profile) for name, _, profile in readable_profiles(self._folder, [])]


def _none(answer: str) -> None:
    if answer:
        raise NotUnderstood(tr("write a number of the list"))


def _unit(answer: str) -> int | None:
    if answer and not (answer.isascii() and answer.isdigit()):
        raise NotUnderstood(tr("write a whole number"))
    return int(answer) if answer else None
