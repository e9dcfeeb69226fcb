"""What the IOC can say, and what is known of it."""
