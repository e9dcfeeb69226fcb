"""TLS of the uplink: the context from the files, what a failure means, what a certificate says.

Knows nothing of paho.
"""
