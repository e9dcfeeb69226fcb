"""What the IOC and the broker say to us, from the bytes to whom it concerns."""
