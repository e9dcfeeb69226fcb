"""What is to be simulated: the links and devices of a configuration.

`reading.py` reads an `agent.toml`, `one_device.py` makes a site of one device, `faults.py` says whether a fault can
happen here.
"""
