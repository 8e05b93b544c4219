"""Writes entries of the audit log, in the transaction of the change."""

from collections.abc import Iterable

from django.db import transaction
from django.dispatch import Signal

from audit import transactions
from audit.entries import Entry
from audit.models import AuditLog, RelatedObjectType
from core import actor

recorded = Signal()
"""Sent in the transaction in which entries were written. Argument: ``entries``, the rows."""


def record(entries: Iterable[Entry]) -> None:
    """Write these entries with one query. Their author is the current actor (``core.actor``).

    Without an actor nothing is written, and ``entries`` is not iterated: pass a generator if entries take queries.
    """
    author = actor.current()
    if author is None:
        return
    with transaction.atomic(savepoint=False):
        rows = [_row(entry, author) for entry in entries]
        AuditLog.objects.bulk_create(rows)
        recorded.send(sender=None, entries=rows)


def _row(entry: Entry, author: actor.Actor) -> AuditLog:
    return AuditLog(
        organisation_id=entry.scope.organisation_id,
        project_id=entry.scope.project_id,
        environment_id=entry.scope.environment_id,
        log=entry.log,
        author_id=author.author_id,
        master_api_key_id=author.master_api_key_id,
        is_system_event=author.is_system,
        related_object_id=entry.object_id,
        related_object_type=entry.type,
        feature_id=entry.object_id if entry.type is RelatedObjectType.FEATURE else entry.feature_id,
        segment_id=entry.segment_id,
        identity_id=entry.identity_id,
        change_type=entry.change,
        change_details=list(entry.details),
        transaction=transactions.current_id(),
    )
