"""Node-RED with node-red-contrib-modbus: each device's registers as a bare JSON array, no store."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from gateways import payloads
from gateways.serials import Block
from gateways.subjects.api import Launch, Missing, Place, Site, run

# node-red-contrib-modbus names a fork of modbus-serial that no package registry has; the original takes its place
PACKAGE = {
    "name": "bench-node-red",
    "private": True,
    "dependencies": {"node-red": "*", "node-red-contrib-modbus": "*"},
    "overrides": {"@openp4nr/modbus-serial": "npm:modbus-serial@8"},
}


class NodeRed:
    """A flow of `modbus-read` nodes, one a device, all into one `mqtt out`."""

    name = "node-red"
    note = "bare arrays without time or quality; no store"
    variant = keeps = False
    optional = True

    def install(self, place: Place) -> str:
        folder = place.prefix / "node-red"
        self._program = folder / "node_modules" / "node-red" / "red.js"
        self._modules = folder / "node_modules"
        if not (self._modules / "node-red-contrib-modbus").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text(json.dumps(PACKAGE))
            run(["npm", "install", "--no-audit", "--no-fund"], folder, place.prefix / "node-red.log")
        if not self._program.exists():
            raise Missing("npm installed no Node-RED")
        modbus = json.loads((self._modules / "node-red-contrib-modbus" / "package.json").read_text())["version"]
        return f"{json.loads((self._program.with_name('package.json')).read_text())['version']}, modbus {modbus}"

    def configure(self, site: Site) -> Launch:
        (site.card / "flows.json").write_text(json.dumps(_flow(site)))
        (site.card / "settings.js").write_text(
            "module.exports = {uiPort: 0, uiHost: '127.0.0.1', httpAdminRoot: false, httpNodeRoot: false, "
            f"flowFile: 'flows.json', nodesDir: [{json.dumps(str(self._modules / 'node-red-contrib-modbus'))}], "
            "logging: {console: {level: 'warn'}}, telemetry: {enabled: false}};\n"
        )
        return Launch(["node", str(self._program), "--userDir", str(site.card), "-s", str(site.card / "settings.js")])

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        return payloads.node_red(topic, payload)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        return ()

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        del topic, payload
        return ()


def _flow(site: Site) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = [
        {"id": "tab", "type": "tab", "label": "bench"},
        {
            "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(site.broker_port),
            "clientid": "bench", "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60",
            "cleansession": True,
        },
        {
            "id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "1", "retain": "false",
            "broker": "broker", "wires": [],
        },
    ]  # fmt: skip
    for number in range(site.work.devices):
        nodes += [
            {
                "id": f"client{number}", "type": "modbus-client", "name": f"d{number}", "clienttype": "tcp",
                "bufferCommands": True, "stateLogEnabled": False, "queueLogEnabled": False, "tcpHost": "127.0.0.1",
                "tcpPort": str(site.device_ports[number]), "tcpType": "DEFAULT", "unit_id": "1",
                "commandDelay": "1", "clientTimeout": "1000", "reconnectOnTimeout": True, "reconnectTimeout": "2000",
                "parallelUnitIdsAllowed": True, "failureLogEnabled": True,
            },
            {
                "id": f"read{number}", "type": "modbus-read", "z": "tab", "name": f"d{number}",
                "topic": f"bench/d{number}", "showStatusActivities": False, "logIOActivities": False,
                "showErrors": False, "unitid": "1", "dataType": "HoldingRegister", "adr": "0",
                "quantity": str(site.work.registers), "rate": str(round(site.work.interval_s * 1000)),
                "rateUnit": "ms", "delayOnStart": False, "server": f"client{number}", "useIOFile": False,
                "wires": [[f"name{number}"], []],
            },
            {
                "id": f"name{number}", "type": "change", "z": "tab",
                "rules": [{"t": "set", "p": "topic", "pt": "msg", "to": f"bench/d{number}", "tot": "str"}],
                "wires": [["out"]],
            },
        ]  # fmt: skip
    return nodes
