"""A TCP proxy that stands between an MQTT client and its broker, and breaks what passes."""
