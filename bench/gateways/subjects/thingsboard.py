"""ThingsBoard IoT Gateway: Python, threads, one converter a device; store in memory (its default) or in SQLite."""

import json
import venv
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from gateways import payloads
from gateways.serials import Block
from gateways.subjects.api import Launch, Place, Site, run

VERSION = "3.8.5"
# the Modbus connector would install these when it starts
PACKAGES = (f"thingsboard-gateway=={VERSION}", "pymodbus==3.9.2", "pyserial", "pyserial-asyncio")
LIMITS_TOPIC = "v1/devices/me/rpc/request/"
# What a platform without limits says of itself; without this answer the gateway sends nothing for its first seconds
LIMITS = {"maxPayloadSize": 65_536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}


class ThingsBoard:
    """One request a device for all registers, packs of up to 64 KB each 50 ms: the best settings that were found."""

    variant = False
    optional = True

    def __init__(self, storage: Literal["sqlite", "memory"]) -> None:
        self._storage = storage
        self.name = f"thingsboard-{storage}"
        self.keeps = storage == "sqlite"
        self.note = "one request a device, answered as by a platform without limits"

    def install(self, place: Place) -> str:
        folder = place.prefix / "thingsboard"
        self._program = folder / "bin" / "thingsboard-gateway"
        if not self._program.exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = str(folder / "bin" / "pip")
            run([pip, "install", "--quiet", *PACKAGES], folder, place.prefix / "thingsboard.log")
        return VERSION

    def configure(self, site: Site) -> Launch:
        (site.card / "data").mkdir(exist_ok=True)
        (site.card / "logs").mkdir(exist_ok=True)
        for name, content in (
            ("tb_gateway.json", self._gateway(site)),
            ("modbus.json", {"master": {"slaves": [_device(site, n) for n in range(site.work.devices)]}}),
            ("list.json", {}),
            ("statistics.json", []),
        ):
            (site.card / name).write_text(json.dumps(content, indent=1))
        (site.card / "logs.json").write_text(json.dumps(_logs()))
        return Launch([str(self._program)], {"TB_GW_CONFIG_DIR": str(site.card)})

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        return payloads.thingsboard(topic, payload)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        return ()

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        if topic.startswith(LIMITS_TOPIC) and b"getSessionLimits" in payload:
            return ((topic.replace("/request/", "/response/"), json.dumps(LIMITS).encode()),)
        return ()

    def _gateway(self, site: Site) -> dict[str, Any]:
        storage: dict[str, Any] = {"type": "memory", "read_records_count": 100, "max_records_count": 100_000}
        if self._storage == "sqlite":
            data = str(site.card / "data") + "/"
            storage = {"type": "sqlite", "data_file_path": data, "max_read_records_count": 1000, "size_limit": 1024}
        return {
            "thingsboard": {
                "host": "127.0.0.1",
                "port": site.broker_port,
                "remoteShell": False,
                "remoteConfiguration": False,
                "statistics": {"enable": False},
                "deviceFiltering": {"enable": False, "filterFile": "list.json"},
                "maxPayloadSizeBytes": 65_536,
                "minPackSendDelayMS": 50,
                "minPackSizeToSend": 500,
                "checkConnectorsConfigurationInSeconds": 60,
                "handleDeviceRenaming": False,
                "security": {"type": "accessToken", "accessToken": "bench"},
                "qos": 1,
                "reportStrategy": {"type": "ON_RECEIVED"},
                "checkingDeviceActivity": {"checkDeviceInactivity": False},
                **dict.fromkeys(_RATE_LIMITS, "0:0,"),
            },
            "storage": storage,
            "grpc": {"enabled": False},
            "connectors": [{"name": "modbus", "type": "modbus", "configuration": "modbus.json"}],
        }


_RATE_LIMITS = (
    "rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits",
    "deviceDpRateLimits",
)  # fmt: skip


def _device(site: Site, number: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": site.device_ports[number],
        "type": "tcp",
        "method": "socket",
        "unitId": 1,
        "deviceName": f"d{number}",
        "deviceType": "default",
        "timeout": 3,
        "byteOrder": "BIG",
        "wordOrder": "BIG",
        "retries": 0,
        "pollPeriod": round(site.work.interval_s * 1000),
        "connectAttemptTimeMs": 1000,
        "connectAttemptCount": 5,
        "waitAfterFailedAttemptsMs": 5000,
        "attributes": [],
        "attributeUpdates": [],
        "rpc": [],
        "timeseries": [
            {
                # a range of registers must say the address in its key
                "tag": "r${address}",
                "type": "16uint",
                "functionCode": 3,
                "objectsCount": 1,
                "address": f"0-{site.work.registers - 1}",
                "maxRegistersPerRequest": 125,
            }
        ],
    }


def _logs() -> dict[str, Any]:
    handler = {"class": "logging.StreamHandler", "level": "WARNING", "stream": "ext://sys.stdout"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"consoleHandler": handler},
        # it calls what pymodbus warns of, at every value
        "loggers": {"pymodbus.logging": {"level": "ERROR"}},
        "root": {"level": "WARNING", "handlers": ["consoleHandler"]},
    }
