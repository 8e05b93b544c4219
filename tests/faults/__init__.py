"""Faults of and between server processes, after which every subscriber has the newest state."""
