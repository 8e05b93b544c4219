"""The table of audited models, and the functions that return the log entries of their changes.

It names models by label, like realtime/changes/triggers.py. Changes that Flagsmith does not log are not logged here:
those of organisations, identities and their traits, tags, keys, permissions, groups and invitations, and the deletion
of an environment. Of a project only the changes that raise its environments' versions are logged, as everything that
raises a version.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from audit import flags, texts
from audit.entries import Entry, Scope, detail, differences
from audit.models import ChangeType, RelatedObjectType
from features.models import FeatureSegment
from features.values import VALUE_COLUMNS
from realtime.changes.rows import RowChange
from realtime.types import RowOperation

CHANGE_TYPE = {
    RowOperation.CREATED: ChangeType.CREATE,
    RowOperation.UPDATED: ChangeType.UPDATE,
    RowOperation.DELETED: ChangeType.DELETE,
}


@dataclass(frozen=True)
class Audited:
    """An audited model."""

    model: str
    """The label, such as "features.FeatureState"."""

    fields: tuple[str, ...]
    """The audited columns. A save that changes none of them is not logged."""

    entries: Callable[[RowChange], Iterable[Entry]]
    """Returns the entries of a change. Called before a deletion, otherwise after the change; not without an actor."""

    every_update: bool = False
    """Log every save of an existing row, because related rows may have changed instead."""


def feature(row: RowChange) -> Iterator[Entry]:
    text = {
        RowOperation.CREATED: texts.FEATURE_CREATED,
        RowOperation.UPDATED: texts.FEATURE_UPDATED,
        RowOperation.DELETED: texts.FEATURE_DELETED,
    }[row.operation]
    yield _entry(row, text % row.instance.name, RelatedObjectType.FEATURE, Scope.of(row.instance.project))


def option(row: RowChange) -> Iterator[Entry]:
    yield flags.option(row.instance.feature, row.operation, differences(row.before, row.after))


RULES_CHANGE_ATTRIBUTE = "_audit_rules"


def set_rules_change(segment: Any, old: Any, new: Any) -> None:
    """Set the change of a segment's rules on the instance. The entry of its next save includes it, as JSON."""
    details = [detail("rules", json.dumps(old), json.dumps(new))] if old != new else []
    setattr(segment, RULES_CHANGE_ATTRIBUTE, details)


def segment(row: RowChange) -> Iterator[Entry]:
    """The entry of a segment. A deletion also deletes its overrides, whose entries are written first."""
    segment = row.instance
    scope = Scope.of(segment.project)
    if row.operation is RowOperation.DELETED:
        for override in FeatureSegment.objects.filter(segment=segment).select_related("feature", "segment"):
            yield flags.override_deleted(override, replace(scope, environment_id=override.environment_id))
    text = {
        RowOperation.CREATED: texts.SEGMENT_CREATED,
        RowOperation.UPDATED: texts.SEGMENT_UPDATED,
        RowOperation.DELETED: texts.SEGMENT_DELETED,
    }[row.operation]
    rules = segment.__dict__.pop(RULES_CHANGE_ATTRIBUTE, [])
    yield _entry(row, text % segment.name, RelatedObjectType.SEGMENT, scope, *rules)


GATE = "enable_realtime_updates"


def project(row: RowChange) -> Iterator[Entry]:
    """An entry for the switch of real-time updates, and one for the other columns."""
    if row.operation is not RowOperation.UPDATED:
        return
    changes = differences(row.before, row.after)
    scope = Scope.of(row.instance)
    others = [each for each in changes if each["field"] != GATE]
    if len(others) < len(changes):
        text = texts.REAL_TIME_ON if getattr(row.instance, GATE) else texts.REAL_TIME_OFF
        switch = [each for each in changes if each["field"] == GATE]
        yield Entry(text % row.instance.name, None, None, scope, ChangeType.UPDATE, switch)
    if others:
        yield Entry(texts.PROJECT_UPDATED % row.instance.name, None, None, scope, ChangeType.UPDATE, others)


def environment(row: RowChange) -> Iterator[Entry]:
    if row.operation is RowOperation.DELETED:
        return
    text = texts.ENVIRONMENT_CREATED if row.operation is RowOperation.CREATED else texts.ENVIRONMENT_UPDATED
    scope = Scope.of(row.instance.project, row.instance.pk)
    yield _entry(row, text % row.instance.name, RelatedObjectType.ENVIRONMENT, scope)


def change_request(row: RowChange) -> Iterator[Entry]:
    """The entry of a change request that was created or committed, or is about to be deleted. No other change of it is
    logged."""
    request = row.instance
    committed = row.before is not None and row.before["committed_at"] is None and request.committed_at is not None
    if row.operation is not RowOperation.UPDATED or committed:
        text = {
            RowOperation.CREATED: texts.CHANGE_REQUEST_CREATED,
            RowOperation.UPDATED: texts.CHANGE_REQUEST_COMMITTED,
            RowOperation.DELETED: texts.CHANGE_REQUEST_DELETED,
        }[row.operation]
        scope = Scope.of(request.project, request.environment_id)
        yield _entry(row, text % request.title, RelatedObjectType.CHANGE_REQUEST, scope)


def approval(row: RowChange) -> Iterator[Entry]:
    """The entry of an approval. A later save of the approved row is not logged."""
    request = row.instance.change_request
    was_approved = row.before is not None and row.before["approved_at"] is not None
    if row.operation is not RowOperation.DELETED and not was_approved and row.instance.approved_at is not None:
        log = texts.CHANGE_REQUEST_APPROVED % request.title
        scope = Scope.of(request.project, request.environment_id)
        yield Entry(log, RelatedObjectType.CHANGE_REQUEST, request.pk, scope, CHANGE_TYPE[row.operation])


def _entry(row: RowChange, log: str, object_type: RelatedObjectType, scope: Scope, *more_details: Any) -> Entry:
    details = [*differences(row.before, row.after), *more_details]
    return Entry(log, object_type, row.instance.pk, scope, CHANGE_TYPE[row.operation], details)


AUDITED = (
    Audited(
        "environments.Environment",
        (
            "name",
            "description",
            "api_key",
            "minimum_change_request_approvals",
            "allow_client_traits",
            "banner_text",
            "banner_colour",
            "hide_disabled_flags",
            "use_identity_composite_key_for_hashing",
            "hide_sensitive_data",
            "use_v2_feature_versioning",
            "use_identity_overrides_in_local_eval",
        ),
        environment,
    ),
    Audited("projects.Project", ("name", "hide_disabled_flags", GATE), project),
    Audited(
        "features.Feature",
        ("name", "type", "description", "initial_value", "default_enabled", "is_archived", "is_server_key_only"),
        feature,
    ),
    Audited("features.FeatureState", ("enabled", "live_from", "version"), flags.state),
    Audited("features.FeatureStateValue", VALUE_COLUMNS, flags.value),
    Audited("features.FeatureSegment", ("segment_id",), flags.feature_segment),
    Audited("multivariate.MultivariateFeatureOption", (*VALUE_COLUMNS, "key", "default_percentage_allocation"), option),
    Audited("multivariate.MultivariateFeatureStateValue", ("percentage_allocation",), flags.share),
    Audited("workflows_core.ChangeRequest", ("committed_at",), change_request),
    Audited("workflows_core.ChangeRequestApproval", ("approved_at",), approval),
    Audited("segments.Segment", ("name", "description", "feature_id"), segment, every_update=True),
)
