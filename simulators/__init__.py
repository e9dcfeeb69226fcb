"""Simulated sites for testers: devices, broker and IOC, built from the same profiles as the agent."""
