"""Writing the log, in the transaction of the change."""

from collections.abc import Iterable

from django.db import transaction
from django.dispatch import Signal

from audit import transactions
from audit.entries import Entry
from audit.models import AuditLog
from core import actor

recorded = Signal()
"""Sent in the transaction in which entries were written: ``entries``, the rows."""


def record(entries: Iterable[Entry]) -> None:
    """Write these entries, on behalf of whoever acts; with one query, in the transaction of the change.

    Without an actor nothing is written, and ``entries`` is not iterated: pass a generator if entries take queries.
    """
    who = actor.current()
    if who is None:
        return
    with transaction.atomic(savepoint=False):
        rows = [_row(entry, who) for entry in entries]
        AuditLog.objects.bulk_create(rows)
        recorded.send(sender=None, entries=rows)


def _row(entry: Entry, who: actor.Actor) -> AuditLog:
    return AuditLog(
        organisation_id=entry.scope.organisation_id,
        project_id=entry.scope.project_id,
        environment_id=entry.scope.environment_id,
        log=entry.log,
        author_id=who.author_id,
        master_api_key_id=who.master_api_key_id,
        is_system_event=who.is_system,
        related_object_id=entry.object_id,
        related_object_type=entry.type,
        change_type=entry.change,
        change_details=list(entry.details),
        transaction=transactions.current_id(),
    )
