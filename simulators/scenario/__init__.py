"""Scenarios: a gateway under scripted faults, and what must come of it.

`reading.py` makes a `Scenario` of a file, `timeline.py` says when what happens, `evidence.py` is what was seen,
`expectations/` judges it, `report.py` and `junit.py` say so. All of that is pure. `running.py` does it.
"""
