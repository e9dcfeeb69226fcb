"""The `[[link]]` tables: the common keys, and the driver's own through its `parse_link`."""

from collections.abc import Mapping

import msgspec

from agent.settings import LinkKeys, LinkSettings
from drivers.api import DriverSpec
from drivers.tomlfile import Section


def read_links(root: Section, specs: Mapping[str, DriverSpec]) -> dict[str, LinkSettings]:
    """The links by name; those with problems are left out."""
    links: dict[str, LinkSettings] = {}
    endpoints: dict[str, str] = {}
    common = {field.name for field in msgspec.structs.fields(LinkKeys)}
    for section in root.children("link"):
        keys = section.with_data({k: v for k, v in section.data.items() if k in common}).convert(LinkKeys)
        spec = _spec(section, specs)
        options = spec.parse_link(section) if spec else None
        if keys and keys.name in links:
            section.problem("name", f'there is already a link "{keys.name}"', "give each link its own name")
        if keys is None or spec is None or options is None:
            continue
        other = endpoints.setdefault(options.endpoint, keys.name)
        if other != keys.name:
            fix = f'move its devices to "{other}", or correct the address'
            section.problem("", f'uses {options.endpoint}, as link "{other}" does', fix)
        links[keys.name] = LinkSettings(keys.name, spec, options)
    return links


def _spec(section: Section, specs: Mapping[str, DriverSpec]) -> DriverSpec | None:
    kind = section.data.get("kind")
    spec = specs.get(kind) if isinstance(kind, str) else None
    if spec is None and isinstance(kind, str):
        known = ", ".join(f'"{name}"' for name in sorted(specs))
        section.problem("kind", f'there is no driver "{kind}"', f"write one of: {known}")
    return spec
