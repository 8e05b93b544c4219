"""The feature states of a change request before they are live: rows without a version, which nothing serves.

All are written in bulk and announce nothing, since no SDK reads them. Callers hold the environment's lock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from django.db.models import QuerySet
from django.utils import timezone

from features.models import FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.workflows.core.contents import VALUE, Content, Place, Wish
from features.workflows.core.models import ChangeRequest, PlannedChange

States = QuerySet[FeatureState]

WHOLE: States = FeatureState.objects.select_related(
    "environment__project", "feature", "feature_state_value", "feature_segment__segment"
).prefetch_related("multivariate_feature_state_values")


def of(request: ChangeRequest) -> dict[Place, FeatureState]:
    """The request's states that are not live, by their places; those of features that are gone are missing."""
    return _by_place(WHOLE.filter(change_request=request, version=None))


def live(environment_id: int, feature_ids: Iterable[int], rows: States = WHOLE) -> dict[Place, FeatureState]:
    """The environment's live states of these features, identities' overrides left out."""
    rows = rows.filter(environment=environment_id, feature__in=set(feature_ids), identity=None, version__isnull=False)
    return _by_place(rows.order_by("id"))


def stored(request: ChangeRequest) -> dict[Place, Content]:
    """What the request does, place by place, whether it is live or not."""
    contents = {place: Content.of(state) for place, state in of(request).items()}
    for change in request.changes.all():
        if change.content is not None:
            place = Place(change.feature_id, change.content["feature_segment"])
            contents[place] = Content.kept(change.content)
    return contents


def planned(request: ChangeRequest, wishes: list[Wish], present: Mapping[Place, Content]) -> dict[Place, Content]:
    """What the request is to do by these wishes, where this is what it does.

    A new state begins as what is live at its place, and goes live with the commit.
    """
    new = {wish.feature.pk for wish in wishes if wish.place not in present}
    base = live(request.environment_pk, new) if new else {}
    contents = {}
    for wish in wishes:
        content = present.get(wish.place)
        if content is None:
            state = base.get(wish.place) or FeatureState(environment=request.environment, feature=wish.feature)
            content = replace(Content.of(state), live_from=None)
        contents[wish.place] = content.with_wish(wish)
    return contents


def write(request: ChangeRequest, wishes: list[Wish]) -> None:
    """Make these the states of a request of which nothing is live.

    States of the same places keep their rows; a constant number of queries.
    """
    present = of(request)
    contents = planned(request, wishes, {place: Content.of(state) for place, state in present.items()})
    remove(state.pk for place, state in present.items() if place not in contents)
    new = [wish for wish in wishes if wish.place not in present]
    states = FeatureState.objects.bulk_create(
        FeatureState(
            environment_id=request.environment_pk,
            feature=wish.feature,
            feature_segment=wish.feature_segment,
            change_request=request,
            version=None,
            enabled=contents[wish.place].enabled,
            live_from=contents[wish.place].live_from,
        )
        for wish in new
    )
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=state, **contents[_place(state)].value) for state in states
    )
    _write_shares(states, contents)
    kept = [state for place, state in present.items() if place in contents]
    _update([state for state in kept if Content.of(state) != contents[_place(state)]], contents)
    _write_plan(request, wishes, _by_place([*kept, *states]))


def remove(pks: Iterable[int]) -> None:
    """Remove feature states with their values and shares, raw: each row's signal would look the others up.

    Of a live state the caller says so (``realtime.changes.versions.announce``); of others nobody has to.
    """
    pks = list(pks)
    if not pks:
        return
    for rows in (
        MultivariateFeatureStateValue.objects.filter(feature_state__in=pks),
        FeatureStateValue.objects.filter(feature_state__in=pks),
        FeatureState.objects.filter(pk__in=pks),
    ):
        rows._raw_delete(rows.db)


def _update(states: list[FeatureState], contents: dict[Place, Content]) -> None:
    if not states:
        return
    now = timezone.now()
    for state in states:
        content = contents[_place(state)]
        state.enabled, state.live_from, state.updated_at = content.enabled, content.live_from, now
        for name in VALUE:
            setattr(state.feature_state_value, name, content.value[name])
    FeatureState.objects.bulk_update(states, ["enabled", "live_from", "updated_at"])
    FeatureStateValue.objects.bulk_update([state.feature_state_value for state in states], VALUE)
    shares = MultivariateFeatureStateValue.objects.filter(feature_state__in=[state.pk for state in states])
    shares._raw_delete(shares.db)
    _write_shares(states, contents)


def _write_shares(states: Iterable[FeatureState], contents: dict[Place, Content]) -> None:
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state=state, multivariate_feature_option_id=option, percentage_allocation=percentage
        )
        for state in states
        for option, percentage in contents[_place(state)].shares
    )


def _write_plan(request: ChangeRequest, wishes: list[Wish], states: dict[Place, FeatureState]) -> None:
    PlannedChange.objects.filter(change_request=request).delete()
    PlannedChange.objects.bulk_create(_plan(request, wish, states[wish.place]) for wish in wishes)


def _plan(request: ChangeRequest, wish: Wish, state: FeatureState) -> PlannedChange:
    segment = wish.feature_segment.segment if wish.feature_segment is not None else None
    return PlannedChange(
        change_request=request,
        feature_state_id=state.pk,
        feature_id=wish.feature.pk,
        feature_name=wish.feature.name,
        segment_id=segment.pk if segment is not None else None,
        segment_name=segment.name if segment is not None else None,
        live_from=state.live_from,
    )


def _by_place(states: Iterable[FeatureState]) -> dict[Place, FeatureState]:
    return {_place(state): state for state in states}


def _place(state: FeatureState) -> Place:
    return Place(state.feature_id, state.feature_segment_id)
