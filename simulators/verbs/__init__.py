"""The verbs of `oc-sim`, one a file."""
