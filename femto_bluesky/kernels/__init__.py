"""Numbers on plain arrays, compiled."""
