"""oc-agent: reads cameras and sensors, keeps what was read, and brings it to the IOC."""

__version__ = "0.1.0"
