"""Simulated instruments that send frames by themselves."""
