"""What comes from the broker, and whom it concerns."""
