"""What is measured, each scene of any gateway. A further one is a module here and a name in `SCENES`."""

from gateways.scenes.api import Effort, Scene
from gateways.scenes.backlog import Backlog
from gateways.scenes.card import Card
from gateways.scenes.idle import Idle
from gateways.scenes.kill import Kill
from gateways.scenes.linearity import Linearity
from gateways.scenes.outage import Outage
from gateways.scenes.ramp import Ramp
from gateways.scenes.rtu import Rtu
from gateways.scenes.steady import Steady
from gateways.scenes.stored import Stored

__all__ = ["BOARD_SCENES", "SCENES", "Effort", "Scene"]

SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (Steady(), Card(), Outage(), Kill(), Ramp(), Backlog(), Stored(), Linearity(), Idle(), Rtu())
}

BOARD_SCENES = ("steady", "outage", "ramp", "idle", "backlog")
"""What is looked at where a gateway has only a share of a core."""
