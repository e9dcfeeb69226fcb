"""The gateways that are measured. A further one is a module here and a name in `SUBJECTS`."""

from gateways.subjects.api import Missing, Place, Site, Subject
from gateways.subjects.collectd import Collectd
from gateways.subjects.node_red import NodeRed
from gateways.subjects.oc_agent import OcAgent
from gateways.subjects.on_board import OnBoard
from gateways.subjects.thingsboard import ThingsBoard

__all__ = ["OURS", "SUBJECTS", "Missing", "OnBoard", "Place", "Site", "Subject"]

OURS = "oc-agent"
SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        OcAgent(),
        OcAgent(batch_interval_s=0.0),
        OcAgent(uvloop=True),
        ThingsBoard("sqlite"),
        ThingsBoard("memory"),
        NodeRed(),
        Collectd(),
    )
}
