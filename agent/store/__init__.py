"""The store: keeps what was read until the IOC has it. `open_store` is the way in; `store.py` says what it promises."""

from agent.store.forgetting import Forgotten
from agent.store.opening import open_store
from agent.store.parts import StoreConfig, StoreError
from agent.store.store import Store, StoreStats

__all__ = ["Forgotten", "Store", "StoreConfig", "StoreError", "StoreStats", "open_store"]
