"""Links between log entries and events: keeps which versions a transaction raised, and looks them up for entries.

What a transaction writes into the log and the versions that it raises carry its id (``audit.transactions``). An entry
about one environment belongs to that environment's event. An entry about a whole project belongs to the events of all
environments of the project whose versions the transaction raised. An event without entries was made outside of a
request. An entry without events is about something that no SDK reads.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from audit import transactions
from audit.models import AnnouncedVersion, AuditLog
from realtime.types import EnvironmentID, EnvironmentState


def keep(sender: object, states: Mapping[EnvironmentID, EnvironmentState], **kwargs: Any) -> None:
    """Receiver of ``realtime.changes.versions.raised``: keep which transaction it was."""
    transaction = transactions.current_id()
    AnnouncedVersion.objects.bulk_create(
        AnnouncedVersion(
            transaction=transaction,
            environment_id=environment_id,
            updated_at=state.updated_at,
            live=state.streaming_enabled,
        )
        for environment_id, state in states.items()
    )


def raised_by(entries: Iterable[AuditLog]) -> dict[int, list[AnnouncedVersion]]:
    """The versions that the entries' changes raised, by the entries' primary keys: the last of each environment.

    One query, however many entries there are.
    """
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
