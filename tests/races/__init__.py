"""Tests of concurrent writes."""

from tests.support.patience import PATIENCE

LOCK_PATIENCE = 5 * PATIENCE
"""Seconds that a writer waits for the lock of a SQLite database.

SQLite grants its lock in no order. On a busy machine one of eight writers may get it only when the others have nearly
finished. The product's own timeout is 20 s; then it answers that the client should retry.
"""
