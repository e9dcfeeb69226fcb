"""Simulated cameras on serial lines."""
