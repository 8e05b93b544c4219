"""Signal receivers that collect flag changes: of rows saved and deleted one by one, and of reported bulk writes."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet

import core.changes
from audit.models import AuditLog
from audit.recording import recorded
from features.changes import (
    AboutToChangeStates,
    AboutToDeleteFeature,
    FeatureCreated,
    FeaturesCreated,
    StateKey,
)
from features.models import Feature, FeatureState, FeatureStateValue
from features.values import VALUE_COLUMNS
from realtime.changes import rows
from realtime.changes.rows import RowChange
from realtime.types import RowOperation
from segments.models import Segment
from webhooks import outbox, payloads
from webhooks.changes import current
from webhooks.payloads import State


def feature_state(row: RowChange) -> None:
    changes, state = current(), row.instance
    if changes is None:
        return
    key = StateKey.of(state)
    if row.operation is RowOperation.DELETED:
        if _is_direct(row):
            changes.record_current([key])
    elif row.operation is RowOperation.CREATED:
        if state.version is not None:
            changes.record_created(key)
    elif row.before is not None and row.changed:
        if row.before["version"] is None:
            if state.version is not None:
                changes.record_created(key)
            return
        enabled = row.before["enabled"]
        changes.record_previous(key, lambda current: current.update(enabled=enabled))


def feature_state_value(row: RowChange) -> None:
    changes, value = current(), row.instance
    if changes is None or row.operation is RowOperation.DELETED or not row.changed:
        return
    if value.feature_state.version is None:
        return
    before = FeatureStateValue(**row.before) if row.before is not None else None
    previous = {"feature_state_value": before.value if before is not None else None}
    changes.record_previous(StateKey.of(value.feature_state), lambda state: state.update(previous))


def share(row: RowChange) -> None:
    changes, share = current(), row.instance
    if (
        changes is None
        or row.operation is RowOperation.DELETED
        or not row.changed
        or share.feature_state.version is None
    ):
        return
    before = row.before["percentage_allocation"] if row.before is not None else None

    def undo(state: State) -> None:
        shares = state["multivariate_feature_state_values"]
        for saved in [each for each in shares if each["id"] == share.pk]:
            saved.update(percentage_allocation=before) if before is not None else shares.remove(saved)

    changes.record_previous(StateKey.of(share.feature_state), undo)


def feature_segment(row: RowChange) -> None:
    """A deletion also deletes the override's state, and an update moves it to another segment. A new feature segment
    has no state yet."""
    changes, override = current(), row.instance
    if changes is None or row.operation is RowOperation.CREATED:
        return
    key = StateKey(override.environment_id, override.feature_id, override.pk)
    if row.operation is RowOperation.DELETED:
        if _is_direct(row):
            changes.record_current([key])
        return
    before = row.before
    if before is not None and row.changed:
        segment_id = before["segment_id"]

        def undo(state: State) -> None:
            state["feature_segment"].update(segment=payloads.segment(Segment.objects.get(pk=segment_id)))

        changes.record_previous(key, undo)


def segment(row: RowChange) -> None:
    """A deletion also deletes the segment's overrides."""
    changes = current()
    if changes is None or row.operation is not RowOperation.DELETED:
        return
    if _is_direct(row) and (environments := changes.environments_with_webhooks(row.instance.project_id)):
        states = FeatureState.objects.filter(feature_segment__segment=row.instance, identity=None)
        changes.record_states(states.filter(environment__in=environments))


def identity(row: RowChange) -> None:
    """A deletion also deletes the identity's overrides."""
    changes = current()
    if changes is None or row.operation is not RowOperation.DELETED:
        return
    if _is_direct(row) and changes.has_webhooks(row.instance.environment_id):
        changes.record_states(FeatureState.objects.filter(identity=row.instance))


def audit_log_entries(sender: object, entries: Iterable[AuditLog], **kwargs: Any) -> None:
    """Receiver of ``audit.recording.recorded``."""
    changes = current()
    if changes is not None:
        changes.audit_log_ids += [entry.pk for entry in entries]


def states(change: AboutToChangeStates, **kwargs: Any) -> None:
    """Receiver of ``core.changes.reported``. Without webhooks the keys are not iterated: they may take queries."""
    changes = current()
    if changes is not None:
        changes.record_current(change.keys)


def feature_created(change: FeatureCreated, **kwargs: Any) -> None:
    """Receiver of ``core.changes.reported``."""
    _features_created([change.feature])


def features_created(change: FeaturesCreated, **kwargs: Any) -> None:
    """Receiver of ``core.changes.reported``."""
    _features_created(change.features)


def _features_created(features: Sequence[Feature]) -> None:
    """Record new features of one project."""
    changes = current()
    if changes is not None:
        for environment_id in changes.environments_with_webhooks(features[0].project_id):
            for feature in features:
                changes.record_created(StateKey(environment_id, feature.pk))


def feature_deleted(change: AboutToDeleteFeature, **kwargs: Any) -> None:
    """Receiver of ``core.changes.reported``.

    Only the environments' defaults are delivered, as in Flagsmith: there may be an override for each identity.
    """
    changes = current()
    if changes is not None and (environments := changes.environments_with_webhooks(change.feature.project_id)):
        defaults = FeatureState.objects.filter(feature=change.feature, identity=None, feature_segment=None)
        changes.record_states(defaults.filter(environment__in=environments))


def committing(changed_by: str | None, **kwargs: Any) -> None:
    """Receiver of ``core.changes.committing``."""
    changes = current()
    if changes is not None:
        outbox.enqueue(changes, changed_by)


def _is_direct(row: RowChange) -> bool:
    """True if ``delete()`` was called on rows of this model; False if the deletion cascades from another model."""
    deleted_model: Any = row.origin.model if isinstance(row.origin, QuerySet) else type(row.origin)
    return deleted_model is type(row.instance)


def connect() -> None:
    for label, fields, receive in (
        ("features.FeatureState", ("enabled", "version"), feature_state),
        ("features.FeatureStateValue", VALUE_COLUMNS, feature_state_value),
        ("multivariate.MultivariateFeatureStateValue", ("percentage_allocation",), share),
        ("features.FeatureSegment", ("segment_id",), feature_segment),
        ("segments.Segment", ("name",), segment),
        ("identities.Identity", ("identifier",), identity),
    ):
        rows.listen(label, fields, receive)
    recorded.connect(audit_log_entries, dispatch_uid="webhooks:audit_log_entries")
    reported = core.changes.reported
    reported.connect(states, sender=AboutToChangeStates, dispatch_uid="webhooks:states")
    reported.connect(feature_created, sender=FeatureCreated, dispatch_uid="webhooks:feature_created")
    reported.connect(features_created, sender=FeaturesCreated, dispatch_uid="webhooks:features_created")
    reported.connect(feature_deleted, sender=AboutToDeleteFeature, dispatch_uid="webhooks:feature_deleted")
    core.changes.committing.connect(committing, dispatch_uid="webhooks:committing")
