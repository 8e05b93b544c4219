"""The newest versions of an environment, each with its causes: the audit log entries of the same transaction."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from audit.models import AnnouncedVersion, AuditLog
from environments.models import Environment
from realtime.inspector.models import HISTORY_MINUTES, MINUTE
from realtime.inspector.panel import Event, Panel
from realtime.types import UpdatedAt, epoch_seconds

MAX_ENTRIES_SHOWN = 3


@dataclass(frozen=True)
class Cause:
    log: str
    who: str


@dataclass(frozen=True)
class Causes:
    """The causes of one version. It has none if the change was made by a script or in the database."""

    first: tuple[Cause, ...] = ()
    more: int = 0
    """Number of further entries, which are not shown."""


@dataclass(frozen=True)
class InspectedVersion:
    """A version of the environment, with its event and its causes."""

    version: str
    """In the format of events: seconds since the epoch."""

    at: datetime
    event: Event | None
    """None: the version was not sent, because the gate was closed."""

    causes: Causes


def newest_versions(environment: Environment, data: Panel, limit: int, *, with_causes: bool) -> list[InspectedVersion]:
    """The newest versions of the last hour: events, and versions that were not sent."""
    events: dict[UpdatedAt, Event] = {event.updated_at: event for event in data.events}
    versions = sorted({*events, *versions_not_sent(environment, limit)}, reverse=True)[:limit]
    causes = causes_of(environment, versions) if with_causes and versions else {}
    return [
        InspectedVersion(
            epoch_seconds(version),
            events[version].at if version in events else version,
            events.get(version),
            causes.get(version, Causes()),
        )
        for version in versions
    ]


def versions_not_sent(environment: Environment, limit: int) -> list[UpdatedAt]:
    """The newest versions of the last hour that were not sent, because the gate was closed."""
    since = timezone.now() - MINUTE * HISTORY_MINUTES
    raised = AnnouncedVersion.objects.filter(environment=environment, streaming_enabled=False, updated_at__gt=since)
    return list(raised.order_by("-updated_at").values_list("updated_at", flat=True)[:limit])


def causes_of(environment: Environment, versions: Collection[UpdatedAt]) -> dict[UpdatedAt, Causes]:
    """The causes by version, in two queries."""
    raised = AnnouncedVersion.objects.filter(environment=environment, updated_at__in=versions).order_by()
    transactions = dict(raised.values_list("updated_at", "transaction"))
    if not transactions:
        return {}
    entries = AuditLog.objects.filter(
        Q(environment=environment) | Q(environment=None, project=environment.project_id),
        transaction__in=set(transactions.values()),
    )
    numbered = entries.order_by().annotate(
        position=Window(RowNumber(), partition_by="transaction", order_by="id"),
        total=Window(Count("*"), partition_by="transaction"),
        email=F("author__email"),
        key=F("master_api_key__name"),
    )
    columns = ("transaction", "log", "email", "key", "is_system_event", "total")
    found = defaultdict(list)
    for row in numbered.filter(position__lte=MAX_ENTRIES_SHOWN).order_by("id").values(*columns):
        found[row["transaction"]].append(row)
    return {version: _causes(found[transaction]) for version, transaction in transactions.items()}


def _causes(rows: list[dict[str, Any]]) -> Causes:
    first = tuple(Cause(row["log"], _who(row["email"], row["key"], row["is_system_event"])) for row in rows)
    return Causes(first, rows[0]["total"] - len(rows) if rows else 0)


def _who(email: str | None, key: str | None, is_system: bool) -> str:
    if email:
        return email
    if key:
        return f"API key {key}"
    return "the system" if is_system else "somebody who has left"
