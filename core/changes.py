"""Changes that services report, and the transactions that they are made in: signals for audit log and webhooks.

Rows that are saved or deleted one by one send signals already (``realtime.changes.rows``). A service that writes in
bulk reports what it writes, in its transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.dispatch import Signal

reported = Signal()
"""Sent by ``report``: ``change``. The sender is the change's class."""

committing = Signal()
"""Sent by ``finish``, inside of the transaction: ``changed_by``."""

_collected: ContextVar[dict[str, Any] | None] = ContextVar("collected", default=None)


def report(change: object) -> None:
    """Report a change, an instance of a class of ``features.changes`` or ``segments.changes``, to its receivers.

    They need not look at it. A change that takes queries to describe holds a generator or a queryset.
    """
    reported.send(sender=type(change), change=change)


@contextmanager
def observed() -> Iterator[None]:
    """The time in which receivers collect changes: a request or a scheduled change. Open it inside the transaction."""
    token = _collected.set({})
    try:
        yield
    finally:
        _collected.reset(token)


def collected() -> dict[str, Any] | None:
    """What the receivers have collected, by their names; None outside of ``observed``."""
    return _collected.get()


def finish(changed_by: str | None = None) -> None:
    """Call this before the end of ``observed``, unless the transaction is rolled back.

    ``changed_by`` is the e-mail address of the change's author. None: ``core.actor`` has the author.
    """
    committing.send(sender=None, changed_by=changed_by)
