"""From files to settings: every problem of every file at once, and warnings for what is allowed but unwise.

Needs no hardware and opens no port: what a device would be asked is decided here, by the drivers' pure functions.
"""

from agent.configuration.forecast import bus_load, by_interval
from agent.configuration.reading import DEFAULT_FILE, ConfigError, Configuration, load_configuration

__all__ = ["DEFAULT_FILE", "ConfigError", "Configuration", "bus_load", "by_interval", "load_configuration"]
