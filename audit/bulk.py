"""The log's entries of the changes that services report because they write in bulk.

All are generators, so that they cost nothing where nobody acts. Their parameters are the fields of the changes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from audit import flags, places, texts
from audit.entries import Entry, Scope, detail, differences
from audit.models import ChangeType, RelatedObjectType
from audit.places import Place
from core import actor
from environments.identities.models import Identity
from environments.models import Environment
from features.changes import ShareChanges, StateSnapshot, changed_shares
from features.models import Feature, FeatureSegment, FeatureState
from features.workflows.core.models import ChangeRequest
from realtime.types import RowOperation
from segments.models import Segment


def first_states(feature: Feature, states: Iterable[FeatureState], options: int) -> Iterator[Entry]:
    """Of a new feature: its state in each environment, and so many options."""
    for state in states:
        yield Entry(
            texts.FEATURE_CREATED % feature.name,
            RelatedObjectType.FEATURE_STATE,
            state.pk,
            Scope.of(feature.project, state.environment_id),
            ChangeType.CREATE,
            [detail("enabled", None, state.enabled)],
        )
    for _ in range(options):
        yield flags.option(feature, RowOperation.CREATED)


def feature_deleted(feature: Feature) -> Iterator[Entry]:
    """Of a feature that is about to go: its state in each environment, and the segments' overrides of it.

    Not the identities', of which there may be any number.
    """
    states = FeatureState.objects.filter(feature=feature, identity=None, feature_segment=None, version__isnull=False)
    for pk, environment_id in states.values_list("pk", "environment_id"):
        scope = Scope.of(feature.project, environment_id)
        log = texts.FEATURE_DELETED % feature.name
        yield Entry(log, RelatedObjectType.FEATURE_STATE, pk, scope, ChangeType.DELETE)
    for override in FeatureSegment.objects.filter(feature=feature).select_related("feature", "segment"):
        yield flags.override_deleted(override, Scope.of(feature.project, override.environment_id))


def options_replaced(
    feature: Feature,
    *,
    added: int = 0,
    removed: int = 0,
    changed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]] = (),
) -> Iterator[Entry]:
    """Of a feature's options: how many came and went, and of those that stay their columns, old and new."""
    for old, new in changed:
        if changes := differences(old, new):
            yield flags.option(feature, RowOperation.UPDATED, changes)
    for _ in range(removed):
        yield flags.option(feature, RowOperation.DELETED)
    for _ in range(added):
        yield flags.option(feature, RowOperation.CREATED)


def shares_replaced(state: FeatureState, shares: ShareChanges) -> Iterator[Entry]:
    """Of a state that was there before: an entry for each option that has another share now."""
    if shares:
        yield from _shares(places.of(state.pk), shares)


def _shares(place: Place, shares: ShareChanges) -> Iterator[Entry]:
    for old, new in shares.values():
        details = [detail("percentage_allocation", old, new)]
        yield place.entry(place.say(texts.SHARE_UPDATED), ChangeType.UPDATE, details)


def overrides_reordered(environment: Environment, feature: Feature, old: list[str], new: list[str]) -> Iterator[Entry]:
    """Of the segments' overrides of a feature: the segments' names in the old order and in the new one."""
    yield Entry(
        texts.OVERRIDES_REORDERED % feature.name,
        RelatedObjectType.FEATURE,
        feature.pk,
        Scope.of(environment.project, environment.pk),
        ChangeType.UPDATE,
        [detail("priority", ", ".join(old), ", ".join(new))],
    )


def overrides_copied(
    identity: Identity, before: Mapping[int, StateSnapshot], after: Mapping[int, StateSnapshot]
) -> Iterator[Entry]:
    """Of an identity that has another's overrides now, by the features' primary keys."""
    names = dict(Feature.objects.filter(pk__in={*before, *after}).values_list("pk", "name"))
    there = places.read(stored.state_id for stored in after.values())
    scope = Scope.of(identity.environment.project, identity.environment_id)
    for feature in sorted(names):
        old, new = before.get(feature), after.get(feature)
        if new is not None:
            yield from _override_copied(there[new.state_id], old, new)
        elif old is not None:
            log = texts.IDENTITY_OVERRIDE_DELETED % (names[feature], identity.identifier)
            yield Entry(log, RelatedObjectType.FEATURE_STATE, old.state_id, scope, ChangeType.DELETE)


def _override_copied(place: Place, old: StateSnapshot | None, new: StateSnapshot) -> Iterator[Entry]:
    if old is None:
        details = [detail("enabled", None, new.enabled)]
        yield place.entry(place.say(texts.STATE_UPDATED), ChangeType.CREATE, details)
    else:
        yield from _changed(place, old, new)


def _changed(place: Place, old: StateSnapshot, new: StateSnapshot) -> Iterator[Entry]:
    if old.enabled != new.enabled:
        details = [detail("enabled", old.enabled, new.enabled)]
        yield place.entry(place.say(texts.STATE_UPDATED), ChangeType.UPDATE, details)
    if changes := differences(old.value, new.value):
        yield place.entry(place.say(texts.VALUE_UPDATED), ChangeType.UPDATE, changes)
    yield from _shares(place, changed_shares(old.shares, new.shares))


def states_written(
    before: Mapping[int, StateSnapshot], after: Mapping[int, StateSnapshot], default_enabled: bool
) -> Iterator[Entry]:
    """Of an environment's states of a feature, by their primary keys: those that changed, and new overrides."""
    there = places.read(after)
    for pk, new in after.items():
        if pk in before:
            yield from _changed(there[pk], before[pk], new)
        else:
            yield from flags.new_override(there[pk], new.enabled, default_enabled, new.value)


def segments_updated(changed: Iterable[tuple[Segment, Mapping[str, Any], Any, Any]]) -> Iterator[Entry]:
    """Of segments that are updated now: their columns before, and their rules before and after."""
    for segment, before, old, new in changed:
        details = differences(before, {name: getattr(segment, name) for name in before})
        if old != new:
            details.append(detail("rules", json.dumps(old), json.dumps(new)))
        log, scope = texts.SEGMENT_UPDATED % segment.name, Scope.of(segment.project)
        yield Entry(log, RelatedObjectType.SEGMENT, segment.pk, scope, ChangeType.UPDATE, details)


def overrides_deleted(overrides: Iterable[FeatureSegment]) -> Iterator[Entry]:
    """Of segments' overrides that are about to go; best read with their features, projects and segments."""
    for override in overrides:
        yield flags.override_deleted(override, Scope.of(override.feature.project, override.environment_id))


def went_live(states: Iterable[FeatureState]) -> Iterator[Entry]:
    """Of a change request that is being applied, inside of ``actor.system(change_request)``: the states now live."""
    who = actor.current()
    if who is None or who.change_request is None:
        return
    said = texts.STATE_WENT_LIVE if who.is_scheduled else texts.STATE_CHANGED_BY_CHANGE_REQUEST
    for _, place in sorted(places.read(state.pk for state in states).items()):
        yield place.entry(said % (place.feature, who.change_request.title), ChangeType.UPDATE)


def change_request_failed(change_request: ChangeRequest, reason: str) -> Iterator[Entry]:
    """Of a committed change request that could not go live, and never will."""
    yield Entry(
        texts.CHANGE_REQUEST_FAILED % (change_request.title, reason),
        RelatedObjectType.CHANGE_REQUEST,
        change_request.pk,
        Scope.of(change_request.project, change_request.environment_id),
        ChangeType.UPDATE,
    )
