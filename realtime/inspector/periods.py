"""How long what is kept, and how old what may be."""

from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)

HISTORY = 60
"""Minutes that are shown."""

HEARTBEAT_SECONDS = 10.0

DEAD_AFTER = timedelta(seconds=30)
"""A process that was not seen for so long is not shown: it was killed, or its machine is gone."""

REPEATED = timedelta(minutes=10)
"""A row of a minute holds until there is another, but is written again after so long."""

CARRIED = MINUTE * HISTORY + REPEATED
"""So far back there may be a row that still holds in what is shown."""

KEPT = CARRIED + timedelta(minutes=5)

MOST_EVENTS = 50_000
"""Rows of events that are kept, of all environments."""


def minute_of(moment: datetime) -> datetime:
    """When this moment's minute began."""
    return moment.replace(second=0, microsecond=0)
