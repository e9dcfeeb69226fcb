"""What goes wrong, by name: in answers, on lines, in devices, on the way to the broker, on the gateway's own machine.

`catalogue.py` names them, `fault.py` is one of them as a tester writes it, `schedule.py` says which are there now,
`answers.py` is what they do to the bytes of an answer. All of it is pure.
"""
