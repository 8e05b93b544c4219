"""Records what happens to the rows of every audited model."""

from audit import actor
from audit.recording import record
from audit.table import AUDITED, Audited
from realtime.changes import rows
from realtime.changes.rows import RowChange
from realtime.types import Change


class Recorder:
    """The listener for one audited model."""

    def __init__(self, audited: Audited) -> None:
        self.audited = audited

    def __call__(self, row: RowChange) -> None:
        """Record a new row, an update that changed something, and a deletion that was asked for.

        What goes because another row goes (or in bulk) is not recorded here: the entry of that other row says it.
        """
        if actor.current() is None:
            return
        if row.change is Change.UPDATED and not (row.changed or self.audited.every_update):
            return
        if row.change is Change.DELETED and row.origin is not row.instance:
            return
        record(self.audited.entries(row))


def connect() -> None:
    """Listen to the models of the table that the project has."""
    for audited in AUDITED:
        rows.listen(audited.model, audited.fields, Recorder(audited))
