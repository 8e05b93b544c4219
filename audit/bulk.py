"""Log entries of bulk writes, which services report as changes (``features.changes``, ``segments.changes``).

There is one function for each type of change, with the change's fields as parameters. All are generators: without an
actor they are not iterated and run no queries.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import prefetch_related_objects

from audit import flags, state_contexts, texts
from audit.entries import Detail, Entry, Scope, detail, differences, share_details
from audit.models import ChangeType, RelatedObjectType
from audit.state_contexts import StateContext
from core import actor
from environments.identities.models import Identity
from environments.models import Environment
from features.changes import ShareChanges, StateSnapshot, changed_shares
from features.models import Feature, FeatureSegment, FeatureState
from features.workflows.core.models import ChangeRequest
from realtime.types import RowOperation
from segments.models import Segment


def first_states(feature: Feature, states: Iterable[FeatureState], options: int) -> Iterator[Entry]:
    """Entries of a new feature: one for its state in each environment, and one for each of its ``options``."""
    for state in states:
        yield Entry(
            texts.FEATURE_CREATED % feature.name,
            RelatedObjectType.FEATURE_STATE,
            state.pk,
            Scope.of(feature.project, state.environment_id),
            ChangeType.CREATE,
            [detail("enabled", None, state.enabled)],
            feature_id=feature.pk,
        )
    for _ in range(options):
        yield flags.option(feature, RowOperation.CREATED)


def features_created(
    features: Sequence[Feature], states: Iterable[FeatureState], options: Mapping[int, int]
) -> Iterator[Entry]:
    """Entries of new features: one for each, and those of ``first_states``."""
    states_of: dict[int, list[FeatureState]] = {feature.pk: [] for feature in features}
    for state in states:
        states_of[state.feature_id].append(state)
    for feature in features:
        log, scope = texts.FEATURE_CREATED % feature.name, Scope.of(feature.project)
        yield Entry(log, RelatedObjectType.FEATURE, feature.pk, scope, ChangeType.CREATE)
        yield from first_states(feature, states_of[feature.pk], options[feature.pk])


def feature_deleted(feature: Feature) -> Iterator[Entry]:
    """Entries of a feature that is about to be deleted: its state in each environment, and its segment overrides.

    Identity overrides are not logged, since there may be any number of them.
    """
    states = FeatureState.objects.filter(feature=feature, identity=None, feature_segment=None, version__isnull=False)
    for pk, environment_id in states.values_list("pk", "environment_id"):
        scope = Scope.of(feature.project, environment_id)
        log = texts.FEATURE_DELETED % feature.name
        yield Entry(log, RelatedObjectType.FEATURE_STATE, pk, scope, ChangeType.DELETE, feature_id=feature.pk)
    for override in FeatureSegment.objects.filter(feature=feature).select_related("feature", "segment"):
        yield flags.override_deleted(override, Scope.of(feature.project, override.environment_id))


def options_replaced(
    feature: Feature,
    *,
    added: int = 0,
    removed: int = 0,
    changed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]] = (),
) -> Iterator[Entry]:
    """Entries of replaced options. ``changed`` has the old and new columns of the options that were kept."""
    for old, new in changed:
        if changes := differences(old, new):
            yield flags.option(feature, RowOperation.UPDATED, changes)
    for _ in range(removed):
        yield flags.option(feature, RowOperation.DELETED)
    for _ in range(added):
        yield flags.option(feature, RowOperation.CREATED)


def shares_replaced(state: FeatureState, shares: ShareChanges) -> Iterator[Entry]:
    """Entries of an existing state: one for each option whose share has changed."""
    if shares:
        yield from _shares(state_contexts.get(state.pk), shares)


def _shares(context: StateContext, shares: ShareChanges) -> Iterator[Entry]:
    for option, (old, new) in shares.items():
        details = share_details(option, old, new)
        yield context.entry(context.text(texts.SHARE_UPDATED), ChangeType.UPDATE, details)


def overrides_reordered(environment: Environment, feature: Feature, old: list[str], new: list[str]) -> Iterator[Entry]:
    """The entry of reordered segment overrides. ``old`` and ``new`` are the segments' names in their orders."""
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
    """Entries of an identity's overrides that were replaced by another identity's. Keys are features' primary keys."""
    names = dict(Feature.objects.filter(pk__in={*before, *after}).values_list("pk", "name"))
    contexts = state_contexts.read(stored.state_id for stored in after.values())
    scope = Scope.of(identity.environment.project, identity.environment_id)
    for feature_id in sorted(names):
        old, new = before.get(feature_id), after.get(feature_id)
        if new is not None:
            yield from _override_copied(contexts[new.state_id], old, new)
        elif old is not None:
            log = texts.IDENTITY_OVERRIDE_DELETED % (names[feature_id], identity.identifier)
            yield Entry(
                log,
                RelatedObjectType.FEATURE_STATE,
                old.state_id,
                scope,
                ChangeType.DELETE,
                feature_id=feature_id,
                identity_id=identity.pk,
            )


def _override_copied(context: StateContext, old: StateSnapshot | None, new: StateSnapshot) -> Iterator[Entry]:
    if old is None:
        details = [detail("enabled", None, new.enabled)]
        yield context.entry(context.text(texts.STATE_UPDATED), ChangeType.CREATE, details)
    else:
        yield from _state_changed(context, old, new)


def _state_changed(context: StateContext, old: StateSnapshot, new: StateSnapshot) -> Iterator[Entry]:
    if old.enabled != new.enabled:
        details = [detail("enabled", old.enabled, new.enabled)]
        yield context.entry(context.text(texts.STATE_UPDATED), ChangeType.UPDATE, details)
    if changes := differences(old.value, new.value):
        yield context.entry(context.text(texts.VALUE_UPDATED), ChangeType.UPDATE, changes)
    yield from _shares(context, changed_shares(old.shares, new.shares))


def states_written(
    before: Mapping[int, StateSnapshot], after: Mapping[int, StateSnapshot], default_enabled: bool
) -> Iterator[Entry]:
    """Entries of a feature's states in one environment: changed states, and new overrides. Keys are primary keys."""
    contexts = state_contexts.read(after)
    for pk, new in after.items():
        if pk in before:
            yield from _state_changed(contexts[pk], before[pk], new)
        else:
            yield from flags.new_override(contexts[pk], new.enabled, default_enabled, new.value)


def segments_updated(changed: Iterable[tuple[Segment, Mapping[str, Any], Any, Any]]) -> Iterator[Entry]:
    """Entries of updated segments: each with its columns before, its rules before and its rules after."""
    for segment, before, old_rules, new_rules in changed:
        details = differences(before, {name: getattr(segment, name) for name in before})
        if old_rules != new_rules:
            details.append(detail("rules", json.dumps(old_rules), json.dumps(new_rules)))
        log, scope = texts.SEGMENT_UPDATED % segment.name, Scope.of(segment.project)
        yield Entry(log, RelatedObjectType.SEGMENT, segment.pk, scope, ChangeType.UPDATE, details)


def overrides_deleted(overrides: Iterable[FeatureSegment]) -> Iterator[Entry]:
    """Entries of segment overrides about to be deleted. Select their features, projects and segments with them."""
    deleted = list(overrides)
    prefetch_related_objects(deleted, flags.LIVE_STATES)
    for override in deleted:
        scope = Scope.of(override.feature.project, override.environment_id)
        yield flags.override_deleted(override, scope, flags.contents_of(override))


def identity_overrides_deleted(environment: Environment, features: Sequence[Feature]) -> Iterator[Entry]:
    """One entry for each feature, since it may have any number of identity overrides."""
    for feature, number in Counter(features).items():
        log = texts.IDENTITY_OVERRIDES_DELETED % feature.name
        scope = Scope.of(environment.project, environment.pk)
        details = [detail("identity_overrides", number, 0)]
        yield Entry(log, RelatedObjectType.FEATURE, feature.pk, scope, ChangeType.DELETE, details)


def went_live(states: Iterable[FeatureState], before: Mapping[int, StateSnapshot]) -> Iterator[Entry]:
    """Entries of states that a change request made live. The actor is ``actor.system(change_request)``.

    ``before`` has the contents of the states that they replaced. The details are those that differ, or all of a state
    that replaced none.
    """
    current = actor.current()
    if current is None or current.change_request is None:
        return
    text = texts.STATE_WENT_LIVE if current.is_scheduled else texts.STATE_CHANGED_BY_CHANGE_REQUEST
    by_pk = {state.pk: state for state in states}
    for pk, context in sorted(state_contexts.read(by_pk).items()):
        details = _content_changes(before.get(pk), StateSnapshot.of(by_pk[pk]))
        yield context.entry(text % (context.feature, current.change_request.title), ChangeType.UPDATE, details)


def _content_changes(old: StateSnapshot | None, new: StateSnapshot) -> list[Detail]:
    details = []
    if old is None or old.enabled != new.enabled:
        details.append(detail("enabled", None if old is None else old.enabled, new.enabled))
    value = dict.fromkeys(new.value) if old is None else old.value
    details += differences(value, new.value)
    for option, (was, now) in changed_shares({} if old is None else old.shares, new.shares).items():
        details += share_details(option, was, now)
    return details


def change_request_failed(change_request: ChangeRequest, reason: str) -> Iterator[Entry]:
    """The entry of a committed change request that could not go live and is not tried again."""
    yield Entry(
        texts.CHANGE_REQUEST_FAILED % (change_request.title, reason),
        RelatedObjectType.CHANGE_REQUEST,
        change_request.pk,
        Scope.of(change_request.project, change_request.environment_id),
        ChangeType.UPDATE,
    )
