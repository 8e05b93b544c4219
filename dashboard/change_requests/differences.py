"""What a change request changes, place by place: what is live, and what will be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from features.models import FeatureState, FeatureType
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.values import VALUE_COLUMNS, Value, value_from_columns
from features.workflows.core.models import ChangeRequest, PlannedChange

States = dict[tuple[int, int | None], FeatureState]
"""By feature and segment."""

WHOLE = FeatureState.objects.select_related("feature", "feature_state_value", "feature_segment__segment")


@dataclass(frozen=True)
class Line:
    """One thing about a place. ``was`` is None where nobody knows it any more, or where there was nothing."""

    label: str
    was: str | None
    will: str
    is_code: bool = False

    @property
    def differs(self) -> bool:
        return self.was is not None and self.was != self.will


@dataclass(frozen=True)
class Difference:
    """What becomes of a place."""

    plan: PlannedChange
    lines: list[Line] = field(default_factory=list)
    priority: int | None = None
    """Of a segment's override: the lower, the stronger. No request changes it."""

    is_new: bool = False
    """The segment has no override yet."""

    is_gone: bool = False
    """What it was to change is not there any more."""

    @property
    def live_at(self) -> datetime | None:
        return self.plan.live_at

    @property
    def changes_nothing(self) -> bool:
        is_known = not (self.is_new or self.is_gone or self.live_at)
        return is_known and not any(line.differs for line in self.lines)


@dataclass(frozen=True)
class Content:
    enabled: bool
    value: Value
    shares: Mapping[int, float]


def differences_of(request: ChangeRequest) -> list[Difference]:
    """In the request's order; a constant number of queries."""
    plans = list(request.changes.all())
    drafts, present = _states(request, plans)
    options = _options(plans, drafts.values())
    _read_shares([*drafts.values(), *present.values()] if options else [])
    return [_difference(plan, drafts, present, options) for plan in plans]


def _difference(plan: PlannedChange, drafts: States, present: States, options: Mapping[int, str]) -> Difference:
    place = (plan.feature_id, plan.segment_id)
    if plan.content is not None:
        return Difference(plan, list(_lines(None, _kept(plan.content), options)))
    draft, live = drafts.get(place), present.get(place)
    if draft is None:
        return Difference(plan, is_gone=True)
    before = _of(live) if live is not None else None
    segment = draft.feature_segment
    return Difference(
        plan,
        list(_lines(before, _of(draft), options)),
        priority=segment.priority if segment is not None else None,
        is_new=segment is not None and live is None,
    )


def _lines(before: Content | None, after: Content, options: Mapping[int, str]) -> Iterable[Line]:
    yield Line("Enabled", _switch(before.enabled) if before else None, _switch(after.enabled))
    yield Line("Value", written(before.value, after.value) if before else None, written(after.value), is_code=True)
    for option in sorted({*after.shares, *(before.shares if before else ())}):
        was = f"{before.shares.get(option, 0):g} %" if before else None
        yield Line(
            f"Share of {options.get(option, 'an option that is gone')}", was, f"{after.shares.get(option, 0):g} %"
        )


def _switch(enabled: bool) -> str:
    return "On" if enabled else "Off"


def written(value: Value, beside: Value = None) -> str:
    """A value as people read it. Text that looks like another kind's value beside it, or is empty, is in quotes."""
    match value:
        case None:
            return "no value"
        case bool():
            return "true" if value else "false"
        case str() if not value or (beside is not None and not isinstance(beside, str) and str(beside) == value):
            return f"“{value}”"
    return str(value)


def _of(state: FeatureState) -> Content:
    shares = getattr(state, "shown_shares", ())
    columns = getattr(state, "feature_state_value", None)
    return Content(state.enabled, columns.value if columns is not None else None, dict(shares))


def _kept(content: Mapping[str, Any]) -> Content:
    columns = content["feature_state_value"]
    shares = content["multivariate_feature_state_values"]
    return Content(
        content["enabled"],
        value_from_columns(*(columns[name] for name in ("type", "boolean_value", "integer_value", "string_value"))),
        {each["multivariate_feature_option"]: each["percentage_allocation"] for each in shares},
    )


def _states(request: ChangeRequest, plans: list[PlannedChange]) -> tuple[States, States]:
    """What waits, and what is live at those places."""
    waiting = [plan for plan in plans if plan.content is None]
    if not waiting:
        return {}, {}
    places = Q(feature_segment=None) | Q(feature_segment__segment__in={plan.segment_id for plan in waiting} - {None})
    states = WHOLE.filter(
        places, environment=request.environment_id, identity=None, feature__in={plan.feature_id for plan in waiting}
    )
    found = list(states.filter(Q(version__isnull=False) | Q(change_request=request)).order_by("id"))
    drafts = [state for state in found if state.version is None]
    return _by_place(drafts), _by_place(state for state in found if state.version is not None)


def _by_place(states: Iterable[FeatureState]) -> States:
    return {
        (state.feature_id, state.feature_segment.segment_id if state.feature_segment else None): state
        for state in states
    }


def _options(plans: Iterable[PlannedChange], drafts: Iterable[FeatureState]) -> dict[int, str]:
    """What the options of multivariate features say, by their primary keys; nothing is asked where there are none."""
    features = {state.feature_id for state in drafts if state.feature.type == FeatureType.MULTIVARIATE}
    contents = [(plan.feature_id, plan.content) for plan in plans if plan.content is not None]
    features |= {feature for feature, content in contents if content["multivariate_feature_state_values"]}
    if not features:
        return {}
    rows = MultivariateFeatureOption.objects.filter(feature__in=features).only("pk", *VALUE_COLUMNS)
    return {option.pk: _short(written(option.value)) for option in rows}


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _read_shares(states: list[FeatureState]) -> None:
    """Give each state its options with their percentages."""
    if not states:
        return
    shares: dict[int, list[tuple[int, float]]] = {}
    rows = MultivariateFeatureStateValue.objects.filter(feature_state__in=states).order_by("id")
    for state, option, percentage in rows.values_list(
        "feature_state", "multivariate_feature_option", "percentage_allocation"
    ):
        shares.setdefault(state, []).append((option, percentage))
    for each in states:
        each.shown_shares = shares.get(each.pk, [])  # type: ignore[attr-defined]
