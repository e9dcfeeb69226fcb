"""Captures of real devices, and serving them byte for byte."""
