"""Talking to a run while it runs: a UNIX socket that takes a JSON object a line, and gives one answer a line.

`desk.py` understands orders and carries them out, `tally.py` counts what the devices did, `server.py` and `client.py`
are the two ends of the socket.
"""
