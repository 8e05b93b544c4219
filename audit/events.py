"""From an event to the log's entries about it, and back.

What a transaction writes into the log and the versions that it raises carry its id (``audit.transactions``). An entry
about one environment belongs to that environment's event; an entry about all of a project belongs to those of all the
project's environments that heard of it. An event without entries came from outside of a request. An entry without
events is of what no SDK gets to hear of.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from audit import transactions
from audit.models import AnnouncedVersion, AuditLog
from environments.models import Environment
from realtime.types import EnvironmentID, EnvironmentKey, EnvironmentState, UpdatedAt


class Event(NamedTuple):
    """An environment's version, as its event has it."""

    environment: EnvironmentKey
    updated_at: UpdatedAt
    live: bool
    """Whether the environment's streams were open to it: real time was on."""


def keep(sender: object, states: Mapping[EnvironmentID, EnvironmentState], **kwargs: Any) -> None:
    """Receiver of ``realtime.changes.versions.raised``: keep which transaction it was."""
    transaction = transactions.current_id()
    AnnouncedVersion.objects.bulk_create(
        AnnouncedVersion(
            transaction=transaction, environment_id=environment_id, updated_at=state.updated_at, live=state.live
        )
        for environment_id, state in states.items()
    )


def entries_of(key: EnvironmentKey, updated_at: UpdatedAt) -> QuerySet[AuditLog]:
    """The entries of the change that raised this environment's version to this."""
    environment = Environment.objects.filter(api_key=key)
    raised = AnnouncedVersion.objects.filter(environment__in=environment, updated_at=updated_at)
    return AuditLog.objects.filter(
        Q(environment__in=environment.values("pk")) | Q(environment=None, project__in=environment.values("project")),
        transaction__in=raised.order_by().values("transaction"),
    )


def events_of(entry: AuditLog) -> list[Event]:
    """The versions that the entry's change raised, by environments; each environment's is the last that it had."""
    raised = AnnouncedVersion.objects.filter(transaction=entry.transaction, environment__project=entry.project_id)
    if entry.environment_id is not None:
        raised = raised.filter(environment=entry.environment_id)
    rows = raised.order_by("environment", "updated_at").values_list("environment__api_key", "updated_at", "live")
    return list({key: Event(EnvironmentKey(key), updated_at, live) for key, updated_at, live in rows}.values())


def raised_by(entries: Iterable[AuditLog]) -> dict[int, list[AnnouncedVersion]]:
    """What ``events_of`` says, of many entries in one query, by the entries' primary keys."""
    entries = list(entries)
    raised = AnnouncedVersion.objects.filter(transaction__in={entry.transaction for entry in entries})
    of_transaction: dict[Any, dict[int, AnnouncedVersion]] = defaultdict(dict)
    for version in raised.filter(environment__project__in={entry.project_id for entry in entries}).order_by(
        "environment", "updated_at"
    ):
        of_transaction[version.transaction][version.environment_id] = version
    return {
        entry.pk: [
            version
            for version in of_transaction[entry.transaction].values()
            if entry.environment_id in (None, version.environment_id)
        ]
        for entry in entries
    }
