"""Draft feature states of change requests: rows without a version, which are not served.

Drafts are written in bulk and not announced, since SDKs cannot read them. Callers hold the environment's lock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from django.db.models import QuerySet
from django.utils import timezone

from features.feature_states.services import remove_states
from features.models import FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import VALUE_COLUMNS
from features.workflows.core.contents import DraftContent, RequestedState, Target
from features.workflows.core.models import ChangeRequest, PlannedChange

States = QuerySet[FeatureState]

STATES_WITH_CONTENT: States = FeatureState.objects.select_related(
    "environment__project", "feature", "feature_state_value", "feature_segment__segment"
).prefetch_related("multivariate_feature_state_values")


def read_drafts(request: ChangeRequest) -> dict[Target, FeatureState]:
    """The request's unpublished states by target. States of deleted features are missing."""
    return _by_target(STATES_WITH_CONTENT.filter(change_request=request, version=None))


def read_live(environment_id: int, feature_ids: Iterable[int]) -> dict[Target, FeatureState]:
    """The environment's live states of these features by target, without identity overrides."""
    states = STATES_WITH_CONTENT.filter(
        environment=environment_id, feature__in=set(feature_ids), identity=None, version__isnull=False
    )
    return _by_target(states.order_by("id"))


def read_contents(request: ChangeRequest) -> dict[Target, DraftContent]:
    """The contents of the request's states by target, published ones as they went live."""
    contents = {target: DraftContent.of(state) for target, state in read_drafts(request).items()}
    for change in request.changes.all():
        if change.content is not None:
            target = Target(change.feature_id, change.content["feature_segment"])
            contents[target] = DraftContent.from_json(change.content)
    return contents


def apply_requested(
    request: ChangeRequest, requested: list[RequestedState], stored: Mapping[Target, DraftContent]
) -> dict[Target, DraftContent]:
    """The contents by target after the requested states are applied to the ``stored`` ones.

    A target that is not stored begins with the content of its live state, and goes live with the commit.
    """
    new = {each.feature.pk for each in requested if each.target not in stored}
    live = read_live(request.environment_pk, new) if new else {}
    contents = {}
    for each in requested:
        content = stored.get(each.target)
        if content is None:
            state = live.get(each.target) or FeatureState(environment=request.environment, feature=each.feature)
            content = replace(DraftContent.of(state), live_from=None)
        contents[each.target] = content.updated(each)
    return contents


def write_drafts(request: ChangeRequest, requested: list[RequestedState]) -> None:
    """Replace the states of a request of which nothing is live.

    States of the same target keep their row. Uses a constant number of queries.
    """
    stored = read_drafts(request)
    contents = apply_requested(request, requested, {target: DraftContent.of(state) for target, state in stored.items()})
    removed = [state.pk for target, state in stored.items() if target not in contents]
    remove_states(FeatureState.objects.filter(pk__in=removed))
    created = FeatureState.objects.bulk_create(
        FeatureState(
            environment_id=request.environment_pk,
            feature=each.feature,
            feature_segment=each.feature_segment,
            change_request=request,
            version=None,
            enabled=contents[each.target].enabled,
            live_from=contents[each.target].live_from,
        )
        for each in requested
        if each.target not in stored
    )
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=state, **contents[Target.of(state)].value) for state in created
    )
    _write_shares(created, contents)
    kept = [state for target, state in stored.items() if target in contents]
    _update([state for state in kept if DraftContent.of(state) != contents[Target.of(state)]], contents)
    _write_planned_changes(request, requested, _by_target([*kept, *created]))


def _update(states: list[FeatureState], contents: dict[Target, DraftContent]) -> None:
    if not states:
        return
    now = timezone.now()
    for state in states:
        content = contents[Target.of(state)]
        state.enabled, state.live_from, state.updated_at = content.enabled, content.live_from, now
        for name in VALUE_COLUMNS:
            setattr(state.feature_state_value, name, content.value[name])
    FeatureState.objects.bulk_update(states, ["enabled", "live_from", "updated_at"])
    FeatureStateValue.objects.bulk_update([state.feature_state_value for state in states], VALUE_COLUMNS)
    shares = MultivariateFeatureStateValue.objects.filter(feature_state__in=[state.pk for state in states])
    shares._raw_delete(shares.db)
    _write_shares(states, contents)


def _write_shares(states: Iterable[FeatureState], contents: dict[Target, DraftContent]) -> None:
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state=state, multivariate_feature_option_id=option, percentage_allocation=percentage
        )
        for state in states
        for option, percentage in contents[Target.of(state)].shares
    )


def _write_planned_changes(
    request: ChangeRequest, requested: list[RequestedState], states: dict[Target, FeatureState]
) -> None:
    PlannedChange.objects.filter(change_request=request).delete()
    PlannedChange.objects.bulk_create(_planned_change(request, each, states[each.target]) for each in requested)


def _planned_change(request: ChangeRequest, requested: RequestedState, state: FeatureState) -> PlannedChange:
    segment = requested.feature_segment.segment if requested.feature_segment is not None else None
    return PlannedChange(
        change_request=request,
        feature_state_id=state.pk,
        feature_id=requested.feature.pk,
        feature_name=requested.feature.name,
        segment_id=segment.pk if segment is not None else None,
        segment_name=segment.name if segment is not None else None,
        live_from=state.live_from,
    )


def _by_target(states: Iterable[FeatureState]) -> dict[Target, FeatureState]:
    return {Target.of(state): state for state in states}
