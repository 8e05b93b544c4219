"""Signals for bulk writes and for the end of a writing transaction, which the audit log and the webhooks receive.

Rows that are saved or deleted one by one send signals already (``realtime.changes.rows``). A service that writes in
bulk reports its changes in its transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.dispatch import Signal

reported = Signal()
"""Sent by ``report`` with ``change``. The sender is the change's class."""

committing = Signal()
"""Sent by ``finish``, inside the transaction, with ``changed_by``."""

_collected: ContextVar[dict[str, Any] | None] = ContextVar("collected", default=None)


def report(change: object) -> None:
    """Send a change, an instance of a class of ``features.changes`` or ``segments.changes``, to the receivers.

    A change whose description takes queries holds a generator or a queryset, which a receiver may ignore.
    """
    reported.send(sender=type(change), change=change)


@contextmanager
def collecting() -> Iterator[None]:
    """The context in which receivers collect changes: a request or a scheduled change. Enter it in the transaction."""
    token = _collected.set({})
    try:
        yield
    finally:
        _collected.reset(token)


def collected() -> dict[str, Any] | None:
    """The changes that receivers have collected, by receiver name; None outside of ``collecting``."""
    return _collected.get()


def finish(changed_by: str | None = None) -> None:
    """Send ``committing``. Call this before the end of ``collecting``, unless the transaction is rolled back.

    ``changed_by`` is the e-mail address of the change's author. None: ``core.actor`` has the author.
    """
    committing.send(sender=None, changed_by=changed_by)
