"""The simulators' end of a link: a pty or a TCP port, what is said on it, and the faults that it meets.

`speaking.py` is what a device must be to stand behind a line, `delivery.py` is how an answer gets onto the wire,
`pty_line.py` and `tcp_line.py` are the two wires, `opening.py` opens the one that a link names.
"""
