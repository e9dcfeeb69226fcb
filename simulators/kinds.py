"""Which simulator stands up a link of which kind: explicit, like the registry of drivers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from simulators.camera.link import serve_camera
from simulators.endpoints import CannotServe
from simulators.lines.line import Line
from simulators.modbus.link import serve_modbus
from simulators.serial.link import serve_serial
from simulators.site.reading import Site, SiteLink
from simulators.world import World

Serve = Callable[[SiteLink, World], AbstractAsyncContextManager[Line]]
"""Stand up one link until the context ends; raises `CannotServe`."""

KINDS: Mapping[str, Serve] = {"modbus": serve_modbus, "serial": serve_serial, "camera": serve_camera}


@asynccontextmanager
async def serve_site(site: Site, world: World) -> AsyncIterator[dict[str, str]]:
    """Stand up every link of a site; gives link name -> real address; raises `CannotServe`."""
    async with serve_lines(site, world) as lines:
        yield {name: line.address for name, line in lines.items()}


@asynccontextmanager
async def serve_lines(site: Site, world: World) -> AsyncIterator[Mapping[str, Line]]:
    """Stand up every link of a site, by name; raises `CannotServe`."""
    async with AsyncExitStack() as stack:
        lines: dict[str, Line] = {}
        for link in site.links:
            serve = KINDS.get(link.kind)
            if serve is None:
                raise CannotServe(f'link "{link.name}": there is no simulator of kind {link.kind} yet')
            lines[link.name] = await stack.enter_async_context(serve(link, world))
        yield lines
