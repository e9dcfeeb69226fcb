"""What packages would load for uses that are not ours; this module is imported before them."""

from agent.lazily import later, unseen

later("ipaddress")  # 0.2 MB; pathlib wants urllib.parse, which wants it for addresses in brackets
with unseen("typing_extensions"):  # 0.3 MB; what msgspec takes from it, Python 3.11 has itself
    import msgspec  # noqa: F401
