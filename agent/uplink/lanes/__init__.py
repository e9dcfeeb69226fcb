"""The lanes of one connection: what waits, whose turn it is, what becomes of it. Begin with `sender`."""
