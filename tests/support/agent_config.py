"""Pieces of an `agent.toml` that tests share."""

METER = """\
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = 1
[[device]]
name = "meter-1"
link = "plc"
profile = "eastron/sdm120"
unit = 1
"""
"""A meter behind a port of loopback where nothing listens. Further keys of the device may follow."""
