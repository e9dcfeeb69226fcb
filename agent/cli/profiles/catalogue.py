"""List the profiles; with WORDS those in which every one of them stands.

Words are looked for in the name, the labels and the points; accents and capitals do not matter.
"""

import argparse
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agent.cli.layout import WIDTH
from agent.cli.messages import in_language, tr
from agent.cli.output import say, show_json, show_table
from drivers.catalogue import ProfileError, find_profile, load_profile, profile_folders, profile_names
from drivers.profile import Language, Profile
from drivers.registry import driver_specs


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One profile in the list."""

    profile: str
    kind: str
    vendor: str
    model: str
    label: dict[Language, str]
    points: int
    file: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--kind", choices=sorted(driver_specs()), help="only of this kind")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    unreadable: list[str] = []
    found = [
        _listed(name, path, profile)
        for name, path, profile in readable_profiles(args.config.parent, unreadable)
        if args.kind in (None, profile.kind) and has_words(name, profile, args.words)
    ]
    if args.json:
        show_json({"profiles": found, "unreadable": unreadable})
    else:
        _show(found)
        for name in unreadable:
            say(tr("{name} cannot be read: see `oc-agent profiles show {name}`", name=name))
    return 0 if found else 1


def readable_profiles(beside: Path, unreadable: list[str]) -> Iterator[tuple[str, Path, Profile]]:
    """Every profile with its name and file; the names of those with problems go to `unreadable`."""
    folders = profile_folders(beside)
    for name in profile_names(folders):
        path = find_profile(name, beside, folders)
        if path is None:
            continue
        try:
            yield name, path, load_profile(path, driver_specs())
        except ProfileError:
            unreadable.append(name)


def has_words(name: str, profile: Profile, words: Sequence[str]) -> bool:
    """Does every word stand in its name, its labels or its points?"""
    texts = [name, profile.vendor, profile.model, *profile.label.values()]
    for point in profile.point:
        texts += [point.name, *point.label.values()]
    text = _folded("\n".join(texts))
    return all(_folded(word) in text for word in words)


def _folded(text: str) -> str:
    """Without accents and capitals: `dien ap` finds `Điện áp`."""
    parts = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(char for char in parts if not unicodedata.combining(char))


def _listed(name: str, path: Path, profile: Profile) -> Listed:
    return Listed(
        profile=name,
        kind=profile.kind,
        vendor=profile.vendor,
        model=profile.model,
        label=profile.label,
        points=len(profile.point),
        file=str(path),
    )


def _show(found: Sequence[Listed]) -> None:
    if not found:
        say(tr("no profile has all of these words: try fewer, or `oc-agent profiles new`"))
        return
    rows = [[one.profile, one.kind, str(one.points), in_language(one.label) or one.model] for one in found]
    show_table([tr("profile"), tr("kind"), tr("points"), tr("device")], rows, width=WIDTH)
