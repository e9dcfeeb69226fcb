"""Drivers: from a device's bytes to readings. Knows nothing of the agent, the store or the IOC."""
