"""The reference IOC: receives, checks, stores and acknowledges as the contract says."""
