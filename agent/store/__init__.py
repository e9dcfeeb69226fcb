"""The store: keeps what was read until the IOC has it. `open_store` is the way in; `store.py` says what it promises."""

from agent.store.parts import StoreConfig, StoreError
from agent.store.store import Store, StoreStats, open_store

__all__ = ["Store", "StoreConfig", "StoreError", "StoreStats", "open_store"]
