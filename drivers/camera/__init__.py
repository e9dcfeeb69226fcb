"""Cameras on serial lines: what they are doing (VISCA, Pelco-D), and still pictures (VC0706)."""
