"""What the IOC asks to be sent again."""
