"""What there is to say when a flag's rows are saved or deleted one by one: states, their values and shares, overrides.

Drafts are their change request's, and are logged as that.
"""

from collections.abc import Iterable, Iterator

from audit import places, texts
from audit.entries import Detail, Entry, Scope, detail, differences
from audit.models import ChangeType, RelatedObjectType
from audit.places import Place
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
    place = places.of(row.instance.pk)
    if row.operation is RowOperation.CREATED:
        yield from _new_state(row.instance, place)
    elif row.operation is RowOperation.UPDATED:
        # Flagsmith does not show the others.
        shown = [each for each in differences(row.before, row.after) if each["field"] == "enabled"]
        yield place.entry(place.say(texts.STATE_UPDATED), ChangeType.UPDATE, shown)
    elif place.identity is not None:
        log = texts.IDENTITY_OVERRIDE_DELETED % (place.feature, place.identity)
        yield place.entry(log, ChangeType.DELETE)
    elif place.segment is None:
        yield place.entry(texts.FEATURE_DELETED % place.feature, ChangeType.DELETE)


def _new_state(state: FeatureState, place: Place) -> Iterator[Entry]:
    """An override that is on or off as the default is speaks by its value alone; a new environment for its states."""
    if place.is_override:
        defaults = FeatureState.objects.filter(environment=state.environment_id, feature=state.feature_id)
        default = defaults.filter(identity=None, feature_segment=None, version__isnull=False).first()
        silent = default is not None and default.enabled == state.enabled
        log = place.say(texts.STATE_UPDATED)
    else:
        silent = place.is_older_than_environment
        log = texts.FEATURE_CREATED % place.feature
    if not silent:
        yield place.entry(log, ChangeType.CREATE, [detail("enabled", None, state.enabled)])


def new_override(place: Place, enabled: bool, default_enabled: bool, value: Row) -> Iterator[Entry]:
    """One that is on or off as the default is speaks by its value alone."""
    if enabled != default_enabled:
        details = [detail("enabled", None, enabled)]
        yield place.entry(place.say(texts.STATE_UPDATED), ChangeType.CREATE, details)
    changes = _new_value(place, value)
    if changes and not _says_nothing(changes):
        yield place.entry(place.say(texts.VALUE_UPDATED), ChangeType.UPDATE, changes)


def value(row: RowChange) -> Iterator[Entry]:
    """Of a new state, too, the value counts as updated, if it is not what new values begin with."""
    place = places.of(row.instance.feature_state_id)
    if not place.is_live or row.operation is RowOperation.DELETED:
        return
    changes = differences(row.before, row.after)
    if row.operation is RowOperation.CREATED:
        changes = _new_value(place, {name: getattr(row.instance, name) for name in VALUE_COLUMNS})
    if (changes or row.operation is RowOperation.UPDATED) and not _says_nothing(changes):
        yield place.entry(place.say(texts.VALUE_UPDATED), ChangeType.UPDATE, changes)


def _new_value(place: Place, value: Row) -> list[Detail]:
    """What is unlike the value that a new state begins with."""
    first = FeatureStateValue()
    first.value = parse_initial_value(place.first_value)
    return differences({name: getattr(first, name) for name in VALUE_COLUMNS}, value)


def _says_nothing(changes: list[Detail]) -> bool:
    """From no text to empty text, or back."""
    return [each["field"] for each in changes] == ["string_value"] and not changes[0]["old"] and not changes[0]["new"]


def share(row: RowChange) -> Iterator[Entry]:
    place = places.of(row.instance.feature_state_id)
    if place.is_live and row.operation is RowOperation.UPDATED:
        yield place.entry(place.say(texts.SHARE_UPDATED), ChangeType.UPDATE, differences(row.before, row.after))


def feature_segment(row: RowChange) -> Iterator[Entry]:
    """A new one overrides nothing yet."""
    override = row.instance
    if row.operation is RowOperation.CREATED:
        return
    feature = override.feature
    scope = Scope.of(feature.project, override.environment_id)
    if row.operation is RowOperation.DELETED:
        yield override_deleted(override, scope)
    else:
        log = texts.STATE_UPDATED[1] % (feature.name, override.segment.name)
        details = differences(row.before, row.after)
        yield Entry(log, RelatedObjectType.FEATURE, feature.pk, scope, ChangeType.UPDATE, details)


def override_deleted(override: FeatureSegment, scope: Scope) -> Entry:
    log = texts.SEGMENT_OVERRIDE_DELETED % (override.feature.name, override.segment.name)
    return Entry(log, RelatedObjectType.FEATURE, override.feature_id, scope, ChangeType.DELETE)


def option(feature: Feature, operation: RowOperation, details: Iterable[Detail] = ()) -> Entry:
    """Of a feature's multivariate option."""
    said, kind = OPTION[operation]
    scope = Scope.of(feature.project)
    return Entry(said % feature.name, RelatedObjectType.FEATURE, feature.pk, scope, kind, [*details])
