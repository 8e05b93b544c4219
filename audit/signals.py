"""Signal receivers that record changes of audited models: of rows saved one by one, and of reported bulk writes."""

from collections.abc import Callable, Iterable
from typing import Any

from audit import bulk
from audit.entries import Entry
from audit.recording import record
from audit.table import AUDITED, Audited, set_rules_change
from core import actor
from core.changes import reported
from features import changes as flags
from realtime.changes import rows
from realtime.changes.rows import RowChange
from realtime.types import RowOperation
from segments.changes import AboutToChangeRules, SegmentsUpdated

ENTRIES: dict[type[Any], Callable[..., Iterable[Entry]]] = {
    flags.FeaturesCreated: bulk.features_created,
    flags.FirstStatesCreated: bulk.first_states,
    flags.AboutToDeleteFeature: bulk.feature_deleted,
    flags.AboutToDeleteOverrides: bulk.overrides_deleted,
    flags.IdentityOverridesDeleted: bulk.identity_overrides_deleted,
    flags.OptionsReplaced: bulk.options_replaced,
    flags.SharesReplaced: bulk.shares_replaced,
    flags.StatesWritten: bulk.states_written,
    flags.OverridesReordered: bulk.overrides_reordered,
    flags.OverridesCopied: bulk.overrides_copied,
    flags.StatesPublished: bulk.went_live,
    flags.ChangeRequestFailed: bulk.change_request_failed,
    SegmentsUpdated: bulk.segments_updated,
}
"""The function that returns the entries of a reported change, by the change's class."""


class Recorder:
    """The listener of one audited model."""

    def __init__(self, audited: Audited) -> None:
        self.audited = audited

    def __call__(self, row: RowChange) -> None:
        """Record a new row, an update that changed a column, and a call of the row's ``delete()``.

        Rows deleted by a cascade or in bulk are not recorded here: the object that they belong to has an entry.
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
    set_rules_change(*change)


def connect() -> None:
    """Connect the receivers to the audited models that the project has, and to reported changes."""
    for audited in AUDITED:
        rows.listen(audited.model, audited.fields, Recorder(audited))
    for change in ENTRIES:
        reported.connect(bulk_write, sender=change, dispatch_uid="audit:bulk_write")
    reported.connect(segment_rules, sender=AboutToChangeRules, dispatch_uid="audit:segment_rules")
