"""Links between log entries and events: stores the versions that a transaction raised, and looks them up for entries.

The entries that a transaction writes and the versions that it raises have the same transaction id
(``audit.transactions``). An entry about one environment belongs to that environment's event. An entry about a whole
project belongs to the events of all environments of the project whose versions the transaction raised. An event without
entries comes from a change outside of a request. An entry without events is about something that no SDK reads.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from audit import transactions
from audit.models import AnnouncedVersion, AuditLog
from realtime.types import EnvironmentID, EnvironmentState


def store_versions(sender: object, states: Mapping[EnvironmentID, EnvironmentState], **kwargs: Any) -> None:
    """Receiver of ``realtime.changes.versions.raised``."""
    transaction = transactions.current_id()
    AnnouncedVersion.objects.bulk_create(
        AnnouncedVersion(
            transaction=transaction,
            environment_id=environment_id,
            updated_at=state.updated_at,
            streaming_enabled=state.streaming_enabled,
        )
        for environment_id, state in states.items()
    )


def raised_by(entries: Iterable[AuditLog]) -> dict[int, list[AnnouncedVersion]]:
    """The versions that the entries' transactions raised, by the entries' primary keys: the last of each environment.

    One query for any number of entries.
    """
    entries = list(entries)
    raised = AnnouncedVersion.objects.filter(transaction__in={entry.transaction for entry in entries})
    by_transaction: dict[Any, dict[int, AnnouncedVersion]] = defaultdict(dict)
    for version in raised.filter(environment__project__in={entry.project_id for entry in entries}).order_by(
        "environment", "updated_at"
    ):
        by_transaction[version.transaction][version.environment_id] = version
    return {
        entry.pk: [
            version
            for version in by_transaction[entry.transaction].values()
            if entry.environment_id in (None, version.environment_id)
        ]
        for entry in entries
    }
