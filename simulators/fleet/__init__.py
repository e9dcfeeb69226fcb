"""Many gateways in one process, on the sending side of contract v1: a load for a broker or an IOC."""
