"""Removal of rows with everything that belongs to them: the packages above remove their own rows.

Deletions that Django cascades read each row and send its signals. The receivers of ``emptying`` remove raw what there
may be any number of; the sender then deletes its own rows.
"""

from typing import Any

from django.db.models import QuerySet
from django.dispatch import Signal

emptying = Signal()
"""Sent by ``empty``, in the transaction of the deletion: ``rows``, a queryset. The sender is its model.

Receivers run in the order of INSTALLED_APPS: of ``environments``, ``features``, ``segments``."""


def empty(rows: QuerySet[Any]) -> None:
    """Let the packages above remove what belongs to these rows, which are about to be deleted."""
    emptying.send(sender=rows.model, rows=rows)
