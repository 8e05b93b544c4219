"""Removal of rows with their dependent rows, which the packages above remove by themselves.

Django's cascade reads each row and sends its signals. Where there may be very many rows, receivers of ``emptying``
delete them by ``_raw_delete`` instead; the sender then deletes its own rows.
"""

from typing import Any

from django.db.models import QuerySet
from django.dispatch import Signal

emptying = Signal()
"""Sent by ``empty``, in the transaction of the deletion, with ``rows``, a queryset. The sender is its model.

Receivers run in the order of INSTALLED_APPS: ``environments``, ``features``, ``segments``."""


def empty(rows: QuerySet[Any]) -> None:
    """Remove the dependent rows of these rows, which are about to be deleted."""
    emptying.send(sender=rows.model, rows=rows)
