"""For a host application that wants to know who connects; real time itself counts nothing."""

from django.dispatch import Signal

opened = Signal(use_caching=True)
"""Sent once for each stream of an environment that exists, with its ``key``. In the event loop: receivers must not
block."""
