"""Pieces of an `agent.toml` that tests share."""

HEAD = """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "run"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
tls = false
"""
"""A gateway whose broker is not there. Further keys of the uplink may follow."""
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
