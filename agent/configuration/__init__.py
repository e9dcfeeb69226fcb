"""From files to settings: every problem of every file at once, and warnings for what is allowed but unwise.

Needs no hardware and opens no port: what a device would be asked is decided here, by the drivers' pure functions.
"""

from agent.configuration.forecast import COST_SHARE, by_interval, forecast
from agent.configuration.reading import DEFAULT_FILE, ConfigError, Configuration, load_configuration

__all__ = [
    "COST_SHARE",
    "DEFAULT_FILE",
    "ConfigError",
    "Configuration",
    "by_interval",
    "forecast",
    "load_configuration",
]
