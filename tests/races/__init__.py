"""What several do at once."""

from tests.support.patience import PATIENCE

LOCK_PATIENCE = 5 * PATIENCE
"""Seconds that a writer waits for a SQLite that others write to.

It hands its lock on in no order. On a busy machine one of eight may have no luck until the others are nearly through,
and the product tells it after 20 s, rightly, to try again.
"""
