"""Many gateways in one process, each with its own certificate and the agent's own store and uplink, for tests/test_fleet.py.

Prints {"ready": true} when all are connected and the IOC is there, and each gateway's account at the end.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import psutil
from gateway_site import GatewaySite, gateway_site, settings

END_S = 120.0


async def run(args: argparse.Namespace) -> int:
    host, _, port = args.broker.partition(":")
    async with AsyncExitStack() as stack:
        sites = []
        for gateway in args.gateways:
            own = args.pki / "gateways" / gateway
            files = {"cert_file": str(own / "cert.pem"), "key_file": str(own / "key.pem")}
            uplink = {"host": host, "port": int(port or 8883), "ca_file": str(own / "ca.pem"), "ack": "ioc"}
            one = settings(gateway, args.folder, args.runtime or args.folder, resend_s=args.resend_s, **uplink, **files)
            sites.append(await stack.enter_async_context(gateway_site(one)))
        await until(lambda: all(site.ready for site in sites))
        print(json.dumps({"ready": True, "gateways": len(sites)}), flush=True)
        await asyncio.gather(*(keep_reading(site, args.seconds, args.points) for site in sites))
        for site in sites:
            await site.store.flush()
        delivered = await until(lambda: all(site.account()["stored"] == 0 for site in sites))
        me = psutil.Process()
        spent = {"cpu_s": round(sum(me.cpu_times()[:2]), 1), "rss_mb": me.memory_info().rss // 1_000_000}
        print(json.dumps({"gateways": [site.account() for site in sites], **spent}), flush=True)
    return 0 if delivered else 1


async def keep_reading(site: GatewaySite, seconds: float, points: int) -> None:
    """Once a second, not all in the same moment."""
    await asyncio.sleep(Random(site.id).random())
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        site.read(points)
        await asyncio.sleep(1.0)


async def until(condition: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + END_S
    while not (met := condition()) and time.monotonic() < end_s:
        await asyncio.sleep(0.1)
    return met


def main() -> int:
    parser = argparse.ArgumentParser(prog="fleet.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("broker", metavar="HOST[:PORT]")
    parser.add_argument("gateways", nargs="+", metavar="ID")
    parser.add_argument("--pki", type=Path, required=True, metavar="DIR", help="the folder of make-certs")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for the outboxes")
    parser.add_argument("--runtime", type=Path, metavar="DIR", help="for the journals: on a RAM disk; default: beside")
    parser.add_argument("--points", type=int, default=20, metavar="N", help="readings a second of each; default 20")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long they read; default 60")
    parser.add_argument("--resend-s", type=float, default=60.0, metavar="N", help="the uplink's setting; default 60")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
