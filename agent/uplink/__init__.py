"""The northbound loop: sealed batches to the IOC's broker, acknowledgements back."""
