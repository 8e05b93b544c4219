"""Keeps versions from falling, and Flagsmith's tasks from writing a second version for an announced change.

Flagsmith sets ``updated_at`` of an environment to the time of an audit log entry, some tasks after the change:
``Environment.objects.filter(...).update(updated_at=...)``, which sends no signal. The tasks run in any order, and some
entries are later than their change. In processes that have this app:

* Each UPDATE of an environment's ``updated_at`` takes the greatest of the old and the new value. That also holds for
  ``Environment.save()`` of an instance that was read before another change.
* The UPDATE for an audit log entry about a watched object leaves the version as it is. The raising thread gets the
  entry, and raises the version if the entry is about a change that shows and that no signal has announced. While the
  thread fails, the UPDATE writes.

Both are done by a wrapper of Django's for SQL statements (``connection.execute_wrappers``).
"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save

from realtime.compat.django import ASSIGNMENT, UPDATE, wrap_statements
from realtime.conf import conf
from realtime.flagsmith import raising
from realtime.flagsmith.collecting import collect
from realtime.flagsmith.receivers import never_fails
from realtime.flagsmith.visibility import DeletedSegments, LoggedChange

AUDIT_LOG = "audit.AuditLog"
SEGMENT = "segments.Segment"

VERSION = ASSIGNMENT.format(column="updated_at")

# Flagsmith's names for what an entry may be about, as far as its changes are watched. Other entries write the version.
WATCHED_TYPES = ("EF_VERSION", "ENVIRONMENT", "FEATURE", "FEATURE_STATE", "SEGMENT")


class _Entry(threading.local):
    """The time of the audit log entry that this thread has saved last: the version that Flagsmith writes next."""

    created_at: datetime | None = None


_entry = _Entry()


def connect() -> None:
    post_save.connect(entry_saved, sender=apps.get_model(AUDIT_LOG), dispatch_uid="realtime:entry_saved")
    rewriter = Rewriter(_table(conf.ENVIRONMENT_MODEL), _table(SEGMENT))

    def watch_updates(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
        wrap_statements(connection, rewriter)

    connection_created.connect(watch_updates, weak=False, dispatch_uid="realtime:watch_updates")


@never_fails
def entry_saved(instance: Any, created: bool, using: str, **kwargs: Any) -> None:
    """Take over from the hook of a new entry, which runs next and would write the version."""
    _entry.created_at = None
    is_watched = instance.related_object_type in WATCHED_TYPES
    if not created or not is_watched or not instance.project_id or not instance.environment_document_updated:
        return
    collect(LoggedChange(instance), using)
    _entry.created_at = None if raising.current().is_failing else instance.created_date


def _table(label: str) -> str:
    return str(apps.get_model(label)._meta.db_table)


class Rewriter:
    """The wrapper of SQL statements. Every other statement passes after one comparison of its beginning."""

    def __init__(self, environments: str, segments: str) -> None:
        column = f'"{environments}"."updated_at"'
        self._environments = UPDATE.format(table=environments)
        self._version_alone = f"{self._environments}{VERSION} WHERE "
        self._kept = f'"updated_at" = COALESCE({column}, %s)'
        self._greatest = f'"updated_at" = GREATEST({column}, %s)'
        self._segments_deleted = f"{UPDATE.format(table=segments)}{ASSIGNMENT.format(column='deleted_at')} WHERE "

    def __call__(
        self, execute: Callable[..., Any], sql: object, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        # A host's own statement may be one of psycopg's objects; Django's are text.
        if isinstance(sql, str) and sql.startswith('UPDATE "'):
            if sql.startswith(self._environments):
                sql = self._without_falling(sql, params)
            elif sql.startswith(self._segments_deleted):
                result = execute(sql, params, many, context)
                _segments_deleted(params, context["connection"].alias)
                return result
        return execute(sql, params, many, context)

    def _without_falling(self, sql: str, params: Sequence[Any]) -> str:
        is_of_entry = sql.startswith(self._version_alone) and params[0] == _entry.created_at
        return sql.replace(VERSION, self._kept if is_of_entry else self._greatest, 1)


@never_fails
def _segments_deleted(params: Sequence[Any], using: str) -> None:
    collect(DeletedSegments(tuple(params[1:])), using)
