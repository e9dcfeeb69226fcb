"""Which simulator stands up a link of which kind: explicit, like the registry of drivers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from simulators.camera.link import serve_camera
from simulators.endpoints import CannotServe
from simulators.modbus.link import serve_modbus
from simulators.serial.link import serve_serial
from simulators.site import Site, SiteLink
from simulators.world import World

Serve = Callable[[SiteLink, World], AbstractAsyncContextManager[str]]
"""Stand up one link until the context ends; gives its real address, raises `CannotServe`."""

KINDS: Mapping[str, Serve] = {"modbus": serve_modbus, "serial": serve_serial, "camera": serve_camera}


@asynccontextmanager
async def serve_site(site: Site, world: World) -> AsyncIterator[dict[str, str]]:
    """Stand up every link of a site; gives link name -> real address; raises `CannotServe`."""
    async with AsyncExitStack() as stack:
        addresses: dict[str, str] = {}
        for link in site.links:
            serve = KINDS.get(link.kind)
            if serve is None:
                raise CannotServe(f'link "{link.name}": there is no simulator of kind {link.kind} yet')
            addresses[link.name] = await stack.enter_async_context(serve(link, world))
        yield addresses
