"""The environments in which a collected change shows, to be determined after its commit and outside of its request.

Flagsmith keeps the history of its rows (django-simple-history): each save writes a record with all columns. So an
update is compared with the record before it, and nothing has to be read before a save.

A record that equals the one before it is no change. That is right for concurrent saves too: each record is written
after its row, so where two saves alternate, a record that differs is written after the last row, and raises the
version.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Model, Q
from django.utils import timezone
from django.utils.module_loading import import_string

from realtime.changes.rows import Row
from realtime.changes.triggers import ENVIRONMENT_COLUMNS, VALUE_COLUMNS, read_value
from realtime.flagsmith import models
from realtime.types import EnvironmentID

UPDATED, DELETED = "~", "-"


@dataclass(frozen=True)
class HistoryRecord:
    """A record of a watched model's history: its model's label, and the instance of the historical model."""

    label: str
    record: Any

    def changed(self, columns: tuple[str, ...], reads: Callable[[Row], Any] = dict) -> bool:
        """True for an update that changes one of these columns, and if there is no earlier record to compare with."""
        before = (
            type(self.record)
            .objects.filter(**{self.row_key: self.row_id}, history_id__lt=self.record.history_id)
            .order_by("-history_id")
            .values(*columns)
            .first()
        )
        return before is None or reads(before) != reads({name: getattr(self.record, name) for name in columns})

    @property
    def row_key(self) -> str:
        """The name of the column that is the row's primary key."""
        return str(self.record.instance_type._meta.pk.attname)

    @property
    def row_id(self) -> Any:
        return getattr(self.record, self.row_key)


@dataclass(frozen=True)
class WatchedRow:
    """A changed row of a model without history."""

    environments: Iterable[EnvironmentID]
    gate: bool
    """The change may open or close the gate."""


@dataclass(frozen=True)
class DeletedSegments:
    """Segments that Flagsmith has deleted by ``QuerySet.update``, which sends no signal."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class LoggedChange:
    """An entry of Flagsmith's audit log, for which Flagsmith writes the version late."""

    entry: Any


Collected = HistoryRecord | WatchedRow | DeletedSegments | LoggedChange


@dataclass
class Visible:
    """The environments in which a batch of changes shows."""

    environments: set[EnvironmentID] = field(default_factory=set)
    gate: bool = False


def environments_touched(changes: Iterable[Collected]) -> Visible:
    """The environments that these committed changes touch."""
    visible = Visible()
    records = [change for change in changes if isinstance(change, HistoryRecord)]
    segment_saved = any(record.label == "segments.Segment" for record in records)
    for change in changes:
        if isinstance(change, WatchedRow):
            visible.environments.update(change.environments)
            visible.gate = visible.gate or change.gate
        elif isinstance(change, DeletedSegments):
            projects = models.rows("segments.Segment").filter(pk__in=change.ids).values("project_id")
            visible.environments.update(models.environments(project_id__in=projects))
        elif isinstance(change, LoggedChange):
            visible.environments.update(_unannounced(change.entry))
    # The creation of a feature writes records for each environment. What touches all of them comes first.
    for record in sorted(records, key=lambda record: hasattr(record.record, "environment_id")):
        if getattr(record.record, "environment_id", None) in visible.environments:
            continue
        if segment_saved and record.label in PARTS_OF_SEGMENTS:
            # The segment's own record has the whole definition. Its rows are written anew even if they are the same.
            continue
        visible.environments.update(WATCHED[record.label](record))
    return visible


def _is_due(moment: datetime | None) -> bool:
    return moment is not None and moment <= timezone.now()


def _of_project(project_id: int | None) -> Iterable[EnvironmentID]:
    return models.environments(project_id=project_id) if project_id is not None else ()


def _is_published(version_id: Any) -> bool:
    """True if this feature version (v2) is live. Its feature states are drafts before that."""
    version = models.row("feature_versioning.EnvironmentFeatureVersion", version_id)
    return version is not None and version.published_at is not None and _is_due(version.live_from)


def _is_live(state: Any) -> bool:
    """True if SDKs read this feature state, or a record of one. A scheduled one is announced by ``schedule.py``."""
    if state.environment_feature_version_id is not None:
        return _is_published(state.environment_feature_version_id)
    return state.identity_id is not None or (state.version is not None and _is_due(state.live_from))


def _of_state(state: Any) -> list[EnvironmentID]:
    is_read = state is not None and state.environment_id is not None and _is_live(state)
    return [state.environment_id] if is_read else []


STATE = ("enabled", "version", "live_from", "environment_feature_version_id", "deleted_at")


def _feature_state(change: HistoryRecord) -> Iterable[EnvironmentID]:
    environments = _of_state(change.record)
    return environments if environments and _is_seen(change, STATE) else []


def _is_seen(change: HistoryRecord, columns: tuple[str, ...], reads: Callable[[Row], Any] = dict) -> bool:
    return change.record.history_type != UPDATED or change.changed(columns, reads)


def _state_part(columns: tuple[str, ...], reads: Callable[[Row], Any] = dict) -> "Rule":
    """The rule of a model whose rows belong to a feature state."""

    def rule(change: HistoryRecord) -> Iterable[EnvironmentID]:
        environments = _of_state(models.row("features.FeatureState", change.record.feature_state_id))
        return environments if environments and _is_seen(change, columns, reads) else []

    return rule


def _feature_segment(change: HistoryRecord) -> Iterable[EnvironmentID]:
    """An override's priority. Its creation and its deletion show in the feature state that belongs to it."""
    if change.record.history_type != UPDATED or not change.changed(("priority",)):
        return []
    states = models.rows("features.FeatureState").filter(feature_segment_id=change.row_id, deleted_at=None)
    return [change.record.environment_id] if any(_is_live(state) for state in states) else []


def _feature(change: HistoryRecord) -> Iterable[EnvironmentID]:
    columns = ("name", "type", "description", "initial_value", "default_enabled", "is_server_key_only", "is_archived")
    return _of_project(change.record.project_id) if _is_seen(change, columns) else []


def _multivariate_option(change: HistoryRecord) -> Iterable[EnvironmentID]:
    if not _is_seen(change, (*VALUE_COLUMNS, "key", "default_percentage_allocation"), read_value):
        return []
    feature = models.row("features.Feature", change.record.feature_id)
    return _of_project(feature.project_id) if feature is not None else []


def _segment(change: HistoryRecord) -> Iterable[EnvironmentID]:
    """A segment that is served: not a revision of another one, nor a draft."""
    segment = models.row("segments.Segment", change.row_id)
    if segment is not None and segment.version_of_id != segment.pk:
        return []
    return _of_project(change.record.project_id) if _is_seen(change, ("name", "rules_data")) else []


def _segment_rule(change: HistoryRecord) -> Iterable[EnvironmentID]:
    return _of_rule(change.record) if _is_seen(change, ("type",)) else []


def _condition(change: HistoryRecord) -> Iterable[EnvironmentID]:
    if not _is_seen(change, ("operator", "property", "value")):
        return []
    return _of_rule(models.row("segments.SegmentRule", change.record.rule_id))


def _of_rule(rule: Any) -> Iterable[EnvironmentID]:
    while rule is not None and rule.segment_id is None:
        rule = models.row("segments.SegmentRule", rule.rule_id)
    segment = models.row("segments.Segment", rule.segment_id) if rule is not None else None
    return _of_project(segment.project_id) if segment is not None and segment.version_of_id == segment.pk else []


def _environment(change: HistoryRecord) -> Iterable[EnvironmentID]:
    is_seen = change.record.history_type != DELETED and _is_seen(change, ENVIRONMENT_COLUMNS)
    return [change.row_id] if is_seen else []


def _feature_version(change: HistoryRecord) -> Iterable[EnvironmentID]:
    """A feature version (v2) that is live, or was before this change."""
    if not _is_seen(change, ("published_at", "live_from", "deleted_at")):
        return []
    is_live = change.record.published_at is not None and _is_due(change.record.live_from)
    return [change.record.environment_id] if is_live else []


def _change_request(change: HistoryRecord) -> Iterable[EnvironmentID]:
    """A committed change request. Flagsmith makes its changes by ``bulk_update``, which sends no signal."""
    if change.record.committed_at is None or not _is_seen(change, ("committed_at",)):
        return []
    now = timezone.now()
    request = Q(change_request_id=change.row_id)
    if models.rows("segments.Segment").filter(request).exists():
        return _of_project(change.record.project_id)
    states = models.rows("features.FeatureState").filter(request, live_from__lte=now)
    versions = models.rows("feature_versioning.EnvironmentFeatureVersion").filter(request, live_from__lte=now)
    return {*states.values_list("environment_id", flat=True), *versions.values_list("environment_id", flat=True)}


Rule = Callable[[HistoryRecord], Iterable[EnvironmentID]]

WATCHED: dict[str, Rule] = {
    "environments.Environment": _environment,
    "feature_versioning.EnvironmentFeatureVersion": _feature_version,
    "features.Feature": _feature,
    "features.FeatureSegment": _feature_segment,
    "features.FeatureState": _feature_state,
    "features.FeatureStateValue": _state_part(VALUE_COLUMNS, read_value),
    "multivariate.MultivariateFeatureOption": _multivariate_option,
    "multivariate.MultivariateFeatureStateValue": _state_part(("percentage_allocation",)),
    "segments.Condition": _condition,
    "segments.Segment": _segment,
    "segments.SegmentRule": _segment_rule,
    "workflows_core.ChangeRequest": _change_request,
}
"""The models whose history is watched, and in which environments a change of each one shows."""

PARTS_OF_SEGMENTS = ("segments.Condition", "segments.SegmentRule")


def _unannounced(entry: Any) -> Iterable[EnvironmentID]:
    """The environments for which Flagsmith logs a change that shows, and that no signal has announced.

    A version that is not older than the change has announced it.
    """
    changed_at = _time_of_change(entry)
    if changed_at is None:
        return []
    of_entry = {"pk": entry.environment_id} if entry.environment_id else {"project_id": entry.project_id}
    return models.environments(**of_entry, updated_at__lt=changed_at)


def _time_of_change(entry: Any) -> datetime | None:
    """The time of the change that an entry logs; None if the change does not show, or not yet."""
    if entry.related_object_type == "EF_VERSION":
        # The entry itself has the time at which its task ran.
        version = models.row("feature_versioning.EnvironmentFeatureVersion", entry.related_object_uuid)
        return version.published_at if version is not None and _is_due(version.live_from) else None
    created_at: datetime = entry.created_date
    path = entry.history_record_class_path
    if not path or entry.is_system_event:
        return created_at
    record = _history_model(path).objects.filter(history_id=entry.history_record_id).first()
    if record is None:
        return created_at
    label = record.instance_type._meta.label
    if label not in WATCHED or record.history_type == DELETED:
        return created_at
    return created_at if list(WATCHED[label](HistoryRecord(label, record))) else None


def _history_model(path: str) -> Any:
    model: type[Model] = import_string(path)
    return model
