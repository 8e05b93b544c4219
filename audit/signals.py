"""Records the changes of audited models: rows saved one by one, and bulk writes that services report."""

from collections.abc import Callable, Iterable
from typing import Any

from audit import bulk
from audit.entries import Entry
from audit.recording import record
from audit.table import AUDITED, Audited, rules_change
from core import actor
from core.changes import reported
from features import changes as flags
from realtime.changes import rows
from realtime.changes.rows import RowChange
from realtime.types import RowOperation
from segments.changes import AboutToChangeRules, SegmentsUpdated

ENTRIES: dict[type[Any], Callable[..., Iterable[Entry]]] = {
    flags.FirstStatesCreated: bulk.first_states,
    flags.AboutToDeleteFeature: bulk.feature_deleted,
    flags.AboutToDeleteOverrides: bulk.overrides_deleted,
    flags.OptionsReplaced: bulk.options_replaced,
    flags.SharesReplaced: bulk.shares_replaced,
    flags.StatesWritten: bulk.states_written,
    flags.OverridesReordered: bulk.overrides_reordered,
    flags.OverridesCopied: bulk.overrides_copied,
    flags.StatesPublished: bulk.went_live,
    flags.ChangeRequestFailed: bulk.change_request_failed,
    SegmentsUpdated: bulk.segments_updated,
}
"""The entries of each reported change. The function's parameters are the change's fields."""


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
        if row.operation is RowOperation.UPDATED and not (row.changed or self.audited.every_update):
            return
        if row.operation is RowOperation.DELETED and row.origin is not row.instance:
            return
        record(self.audited.entries(row))


def bulk_write(change: Any, **kwargs: Any) -> None:
    """Receiver of ``core.changes.reported``."""
    record(ENTRIES[type(change)](**change._asdict()))


def segment_rules(change: AboutToChangeRules, **kwargs: Any) -> None:
    """Receiver of ``core.changes.reported``."""
    rules_change(*change)


def connect() -> None:
    """Listen to the models of the table that the project has, and to reported changes."""
    for audited in AUDITED:
        rows.listen(audited.model, audited.fields, Recorder(audited))
    for change in ENTRIES:
        reported.connect(bulk_write, sender=change, dispatch_uid="audit:bulk_write")
    reported.connect(segment_rules, sender=AboutToChangeRules, dispatch_uid="audit:segment_rules")
