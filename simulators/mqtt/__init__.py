"""MQTT clients on the event loop, without threads: what the reference IOC and the fleet of gateways share."""
