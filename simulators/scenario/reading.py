"""Scenario files: TOML in, a `Scenario` out. Every problem is found at once, with its line, and with what to write."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from drivers.tomlfile import Problem, Section, TomlProblem, Tree, load_toml, load_with_drop_ins, merge
from simulators.problems import SiteError
from simulators.scenario.addresses import address, simulated, with_address
from simulators.scenario.arriving import Arrives
from simulators.scenario.config import agent_config, device_facts
from simulators.scenario.placeholders import Places
from simulators.scenario.reading_expectations import read_expectations
from simulators.scenario.reading_faults import read_faults
from simulators.scenario.scenario import (
    BrokerKeys,
    DoKeys,
    FileKeys,
    HostKeys,
    IocKeys,
    Scenario,
    ScenarioKeys,
    SetKeys,
    ValuesKeys,
)
from simulators.site.reading import Site, read_site

_TABLES: Final = (
    "scenario",
    "ioc",
    "broker",
    "host",
    "values",
    "arrives",
    "agent",
    "link",
    "device",
    "fault",
    "set",
    "do",
    "file",
    "expect",
)
_TIMES: Final[Mapping[str, Sequence[str]]] = {
    "fault": ("from_s", "for_s", "every_s"),
    "set": ("at_s",),
    "do": ("at_s",),
    "expect": ("from_s", "to_s"),
}
"""What `speed` makes shorter, beside `scenario.seconds`. How long a gateway may take for something stays."""


def read_scenario(
    file: Path,
    places: Places,
    *,
    seed: int | None = None,
    speed: float = 1.0,
    seconds: float | None = None,
    short: bool = False,
) -> Scenario:
    """Read `file`, and with `site` the `agent.toml` that it names; raises `SiteError` with every problem found.

    `seed` replaces that of the file. `speed` divides its times; `seconds` chooses the speed for that length,
    `short` for the length that the file calls the shortest.
    """
    problems: list[Problem] = []
    tree, folder = _load(file, places, problems)
    seconds = _shortest_s(tree.data.get("scenario")) if short else seconds
    if seconds and isinstance(length := tree.data.get("scenario", {}).get("seconds"), int | float):
        speed = length / seconds
    _hasten(tree.data, speed)
    root = Section.root(tree, problems)
    root.only((*_TABLES, "site"))
    keys = root.child("scenario").convert(ScenarioKeys)
    if keys is not None and seed is not None:
        keys = msgspec.structs.replace(keys, seed=seed)
    site = read_site(root, folder)
    scenario = _read(file, root, keys or ScenarioKeys(name="?", seconds=3_600), site, places, folder)
    if not site.devices and not problems:
        root.problem("device", "there are no devices", 'add a `[[link]]` and a `[[device]]`, or `site = "agent.toml"`')
    if problems:
        raise SiteError(problems)
    return scenario


def _load(file: Path, places: Places, problems: list[Problem]) -> tuple[Tree, Path]:
    """The scenario over the site that it names, with every placeholder filled in, and the folder of its profiles."""
    try:
        tree = load_toml(file)
    except TomlProblem as err:
        raise SiteError([err.problem]) from err
    for key in ("link", "device", "agent", "arrives"):
        if key in tree.data:
            tree.data[key] = places.fill_all(tree.data[key])
    tree.data["link"] = _each(tree.data.get("link", []), lambda link: with_address(link, places))
    named = tree.data.get("site")
    if not isinstance(named, str):
        return tree, file.parent
    site_file = file.parent / named
    site = load_with_drop_ins(site_file, problems)
    if site is None:
        raise SiteError(problems)
    kept: dict[str, Any] = {key: site.data[key] for key in ("link", "device") if key in site.data}
    kept["link"] = _each(kept.get("link", []), lambda link: simulated(link, places))
    base = Tree(kept, dict(site.places), str(file))
    merge(base, tree)
    return base, site_file.parent


def _each(links: Any, change: Any) -> Any:
    """Every table of a list changed; what is no list of tables is left for the reader to say so."""
    if not isinstance(links, list):
        return links
    return [change(link) if isinstance(link, dict) else link for link in links]


def _shortest_s(table: Any) -> float | None:
    short_s = table.get("short_s") if isinstance(table, dict) else None
    return short_s if isinstance(short_s, int | float) and short_s > 0 else None


def _hasten(data: dict[str, Any], speed: float) -> None:
    if speed == 1:
        return
    tables: list[tuple[Any, Sequence[str]]] = [(data.get("scenario"), ("seconds",))]
    tables += [(one, keys) for name, keys in _TIMES.items() for one in _tables(data.get(name))]
    for table, keys in tables:
        for key in keys:
            if isinstance(table, dict) and isinstance(number := table.get(key), int | float):
                table[key] = number / speed


def _tables(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read(file: Path, root: Section, keys: ScenarioKeys, site: Site, places: Places, folder: Path) -> Scenario:
    links = [link.data for link in root.children("link")]
    devices = device_facts(root, site)
    arrives = root.child("arrives").convert(Arrives) if "arrives" in root.data else None
    if arrives is not None and (problem := arrives.problem()):
        root.problem("arrives", "is not enough", problem)
    return Scenario(
        file=file,
        keys=keys,
        site=site,
        devices=devices,
        addresses={str(link.get("name")): address(link) for link in links},
        agent=agent_config(root, site, places, folder),
        expect=read_expectations(root, keys, devices, site, arrives),
        faults=read_faults(root, site, contract="arrives" not in root.data),
        sets=_sets(root, site),
        do=tuple(one for one in (section.convert(DoKeys) for section in root.children("do")) if one),
        files=tuple(one for one in (section.convert(FileKeys) for section in root.children("file")) if one),
        arrives=arrives,
        values=_values(root, file.parent),
        ioc=root.child("ioc").convert(IocKeys) or IocKeys(),
        host=root.child("host").convert(HostKeys) or HostKeys(),
        broker=root.child("broker").convert(BrokerKeys) or BrokerKeys(),
    )


def _values(root: Section, folder: Path) -> ValuesKeys | None:
    if "values" not in root.data:
        return None
    keys = root.child("values").convert(ValuesKeys)
    if keys is not None and not (folder / keys.file).is_file():
        root.child("values").problem("file", f"there is no file {keys.file}", "write a path beside the scenario")
    return keys


def _sets(root: Section, site: Site) -> tuple[SetKeys, ...]:
    points = {device.name: {point.name for point in device.profile.point} for device in site.devices}
    found: list[SetKeys] = []
    for section in root.children("set"):
        one = section.convert(SetKeys)
        if one is None:
            continue
        if one.name not in points.get(one.device, ()):
            known = [f"{device}.{point}" for device, names in points.items() for point in sorted(names)][:5]
            section.problem("point", f'there is no point "{one.point}"', f"known: {', '.join(known)}, …")
        found.append(one)
    return tuple(sorted(found, key=lambda one: one.at_s))
