"""The table: which models' changes are logged, and in which words.

Like realtime/changes/triggers.py it names models by label. What Flagsmith does not log is not logged: projects and
organisations, identities and their traits, tags, keys, permissions, groups and invitations, and the deletion of an
environment.
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
    """Its label, "features.FeatureState"."""

    fields: tuple[str, ...]
    """The columns whose change is one. A save that leaves them as they were makes no entry."""

    entries: Callable[[RowChange], Iterable[Entry]]
    """What there is to say of a change. Called where somebody acts: before a deletion, otherwise after the change."""

    every_update: bool = False
    """Log any save of an existing row: what belongs to it was written beside it."""


def feature(row: RowChange) -> Iterator[Entry]:
    said = {
        RowOperation.CREATED: texts.FEATURE_CREATED,
        RowOperation.UPDATED: texts.FEATURE_UPDATED,
        RowOperation.DELETED: texts.FEATURE_DELETED,
    }[row.operation]
    yield _entry(row, said % row.instance.name, RelatedObjectType.FEATURE, Scope.of(row.instance.project))


def option(row: RowChange) -> Iterator[Entry]:
    yield flags.option(row.instance.feature, row.operation, differences(row.before, row.after))


SEGMENT_RULES = "_audit_rules"


def rules_change(segment: Any, old: Any, new: Any) -> None:
    """Say what the segment's rules are, and what they are to be; its next save logs the difference, as JSON."""
    setattr(segment, SEGMENT_RULES, [detail("rules", json.dumps(old), json.dumps(new))] if old != new else [])


def segment(row: RowChange) -> Iterator[Entry]:
    """A deletion takes its overrides along, whose entries come before its own."""
    segment = row.instance
    scope = Scope.of(segment.project)
    if row.operation is RowOperation.DELETED:
        for override in FeatureSegment.objects.filter(segment=segment).select_related("feature", "segment"):
            yield flags.override_deleted(override, replace(scope, environment_id=override.environment_id))
    said = {
        RowOperation.CREATED: texts.SEGMENT_CREATED,
        RowOperation.UPDATED: texts.SEGMENT_UPDATED,
        RowOperation.DELETED: texts.SEGMENT_DELETED,
    }[row.operation]
    rules = segment.__dict__.pop(SEGMENT_RULES, [])
    yield _entry(row, said % segment.name, RelatedObjectType.SEGMENT, scope, *rules)


def environment(row: RowChange) -> Iterator[Entry]:
    if row.operation is RowOperation.DELETED:
        return
    said = texts.ENVIRONMENT_CREATED if row.operation is RowOperation.CREATED else texts.ENVIRONMENT_UPDATED
    scope = Scope.of(row.instance.project, row.instance.pk)
    yield _entry(row, said % row.instance.name, RelatedObjectType.ENVIRONMENT, scope)


def change_request(row: RowChange) -> Iterator[Entry]:
    """Made, committed and deleted; other changes of one are not logged."""
    request = row.instance
    committed = row.before is not None and row.before["committed_at"] is None and request.committed_at is not None
    if row.operation is not RowOperation.UPDATED or committed:
        said = {
            RowOperation.CREATED: texts.CHANGE_REQUEST_CREATED,
            RowOperation.UPDATED: texts.CHANGE_REQUEST_COMMITTED,
            RowOperation.DELETED: texts.CHANGE_REQUEST_DELETED,
        }[row.operation]
        scope = Scope.of(request.project, request.environment_id)
        yield _entry(row, said % request.title, RelatedObjectType.CHANGE_REQUEST, scope)


def approval(row: RowChange) -> Iterator[Entry]:
    """The first time that somebody approves."""
    request = row.instance.change_request
    asked_before = row.before is None or row.before["approved_at"] is None
    if row.operation is not RowOperation.DELETED and asked_before and row.instance.approved_at is not None:
        log = texts.CHANGE_REQUEST_APPROVED % request.title
        scope = Scope.of(request.project, request.environment_id)
        yield Entry(log, RelatedObjectType.CHANGE_REQUEST, request.pk, scope, CHANGE_TYPE[row.operation])


def _entry(row: RowChange, log: str, kind: RelatedObjectType, scope: Scope, *more: Any) -> Entry:
    details = [*differences(row.before, row.after), *more]
    return Entry(log, kind, row.instance.pk, scope, CHANGE_TYPE[row.operation], details)


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
