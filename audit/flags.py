"""Log entries of a flag's rows that are saved or deleted one by one: states, their values and shares, overrides.

Drafts have no entries of their own: they belong to a change request, which has.
"""

from collections.abc import Iterable, Iterator

from django.db.models import Prefetch, prefetch_related_objects

from audit import state_contexts, texts
from audit.entries import Detail, Entry, Scope, detail, differences, share_details
from audit.models import ChangeType, RelatedObjectType
from audit.state_contexts import StateContext
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.values import VALUE_COLUMNS, parse_initial_value
from realtime.changes.rows import Row, RowChange
from realtime.types import RowOperation

OPTION = {
    RowOperation.CREATED: (texts.OPTION_ADDED, ChangeType.CREATE),
    RowOperation.UPDATED: (texts.OPTION_UPDATED, ChangeType.UPDATE),
    RowOperation.DELETED: (texts.OPTION_REMOVED, ChangeType.DELETE),
}


def state(row: RowChange) -> Iterator[Entry]:
    if row.instance.version is None:
        return
    context = state_contexts.get(row.instance.pk)
    if row.operation is RowOperation.CREATED:
        yield from _new_state(row.instance, context)
    elif row.operation is RowOperation.UPDATED:
        # Flagsmith shows no other column.
        details = [each for each in differences(row.before, row.after) if each["field"] == "enabled"]
        yield context.entry(context.text(texts.STATE_UPDATED), ChangeType.UPDATE, details)
    elif context.identity is not None:
        log = texts.IDENTITY_OVERRIDE_DELETED % (context.feature, context.identity)
        yield context.entry(log, ChangeType.DELETE)
    elif context.segment is None:
        yield context.entry(texts.FEATURE_DELETED % context.feature, ChangeType.DELETE)


def _new_state(state: FeatureState, context: StateContext) -> Iterator[Entry]:
    """No entry for an override that is enabled like the default (its value has one), nor for the states of a new
    environment (the environment has one)."""
    if context.is_override:
        defaults = FeatureState.objects.filter(environment=state.environment_id, feature=state.feature_id)
        default = defaults.filter(identity=None, feature_segment=None, version__isnull=False).first()
        is_logged = default is None or default.enabled != state.enabled
        log = context.text(texts.STATE_UPDATED)
    else:
        is_logged = not context.is_feature_older
        log = texts.FEATURE_CREATED % context.feature
    if is_logged:
        yield context.entry(log, ChangeType.CREATE, [detail("enabled", None, state.enabled)])


def new_override(context: StateContext, enabled: bool, default_enabled: bool, value: Row) -> Iterator[Entry]:
    """One entry if the override is enabled unlike the default, and one if its value is not the initial value."""
    if enabled != default_enabled:
        details = [detail("enabled", None, enabled)]
        yield context.entry(context.text(texts.STATE_UPDATED), ChangeType.CREATE, details)
    changes = _changes_of_new_value(context, value)
    if changes and not _is_empty_text(changes):
        yield context.entry(context.text(texts.VALUE_UPDATED), ChangeType.UPDATE, changes)


def value(row: RowChange) -> Iterator[Entry]:
    """A new state's value is logged as updated if it is not the initial value."""
    context = state_contexts.get(row.instance.feature_state_id)
    if not context.is_live or row.operation is RowOperation.DELETED:
        return
    changes = differences(row.before, row.after)
    if row.operation is RowOperation.CREATED:
        changes = _changes_of_new_value(context, {name: getattr(row.instance, name) for name in VALUE_COLUMNS})
    if (changes or row.operation is RowOperation.UPDATED) and not _is_empty_text(changes):
        yield context.entry(context.text(texts.VALUE_UPDATED), ChangeType.UPDATE, changes)


def _changes_of_new_value(context: StateContext, value: Row) -> list[Detail]:
    """The differences between the initial value and a new state's value."""
    initial = FeatureStateValue()
    initial.value = parse_initial_value(context.initial_value)
    return differences({name: getattr(initial, name) for name in VALUE_COLUMNS}, value)


def _is_empty_text(changes: list[Detail]) -> bool:
    """True if the only change is from null to an empty text, or back."""
    return [each["field"] for each in changes] == ["string_value"] and not changes[0]["old"] and not changes[0]["new"]


def share(row: RowChange) -> Iterator[Entry]:
    context = state_contexts.get(row.instance.feature_state_id)
    if context.is_live and row.operation is RowOperation.UPDATED:
        before, after = row.before or {}, row.after or {}
        option, name = row.instance.multivariate_feature_option_id, "percentage_allocation"
        details = share_details(option, before.get(name), after.get(name))
        yield context.entry(context.text(texts.SHARE_UPDATED), ChangeType.UPDATE, details)


def feature_segment(row: RowChange) -> Iterator[Entry]:
    override = row.instance
    if row.operation is RowOperation.CREATED:  # It has no state yet, so it overrides nothing.
        return
    feature = override.feature
    scope = Scope.of(feature.project, override.environment_id)
    if row.operation is RowOperation.DELETED:
        prefetch_related_objects([override], LIVE_STATES)
        yield override_deleted(override, scope, contents_of(override))
    else:
        log = texts.STATE_UPDATED[1] % (feature.name, override.segment.name)
        details = differences(row.before, row.after)
        yield Entry(log, RelatedObjectType.FEATURE, feature.pk, scope, ChangeType.UPDATE, details)


LIVE_STATES = Prefetch(
    "feature_states",
    FeatureState.objects.filter(version__isnull=False)
    .select_related("feature_state_value")
    .prefetch_related("multivariate_feature_state_values"),
    to_attr="live_states",
)


def contents_of(override: FeatureSegment) -> list[Detail]:
    """The content of an override with ``LIVE_STATES``, with which it can be created again."""
    details = []
    for state in override.live_states:  # type: ignore[attr-defined]
        value = getattr(state, "feature_state_value", None)
        details.append(detail("enabled", state.enabled, None))
        columns = {name: getattr(value, name, None) for name in VALUE_COLUMNS}
        details += differences(columns, dict.fromkeys(VALUE_COLUMNS))
        for share in state.multivariate_feature_state_values.all():
            details += share_details(share.multivariate_feature_option_id, share.percentage_allocation, None)
    return details


def override_deleted(override: FeatureSegment, scope: Scope, details: Iterable[Detail] = ()) -> Entry:
    log = texts.SEGMENT_OVERRIDE_DELETED % (override.feature.name, override.segment.name)
    kind, change = RelatedObjectType.FEATURE, ChangeType.DELETE
    return Entry(log, kind, override.feature_id, scope, change, [*details], segment_id=override.segment_id)


def option(feature: Feature, operation: RowOperation, details: Iterable[Detail] = ()) -> Entry:
    """The entry of one of the feature's multivariate options."""
    text, change_type = OPTION[operation]
    scope = Scope.of(feature.project)
    return Entry(text % feature.name, RelatedObjectType.FEATURE, feature.pk, scope, change_type, [*details])
