"""oc-agent: reads cameras and sensors, keeps what was read, and brings it to the IOC."""

from importlib.metadata import version

__version__ = version("oc-agent")
