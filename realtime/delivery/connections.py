"""Signal sent when a stream opens, for host applications that count or log connections."""

from django.dispatch import Signal

opened = Signal(use_caching=True)
"""Sent once for each stream of an existing environment, with its ``key``. Receivers run in the event loop, so they must
not block."""
