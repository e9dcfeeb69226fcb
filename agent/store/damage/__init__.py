"""A file that is damaged, or is a copy: set aside, a new one in its place, and what can be read of it brought over."""
