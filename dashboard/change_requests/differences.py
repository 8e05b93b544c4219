"""Differences of a change request: the present and the proposed state of each environment default or override."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from features.models import FeatureSegment, FeatureState, FeatureType
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.values import VALUE_COLUMNS, Value, value_from_columns
from features.workflows.core.models import ChangeRequest, ChangeSet, PlannedChange
from segments.models import Segment

States = dict[tuple[int, int | None], FeatureState]
"""States by feature and segment; the segment of an environment default is None."""

STATES_WITH_VALUES = FeatureState.objects.select_related("feature", "feature_state_value", "feature_segment__segment")


@dataclass(frozen=True)
class Line:
    """One compared property. ``before`` is None if it is unknown or the state is new."""

    label: str
    before: str | None
    after: str
    is_code: bool = False

    @property
    def differs(self) -> bool:
        return self.before is not None and self.before != self.after


@dataclass(frozen=True)
class Difference:
    """The change of one environment default or segment override."""

    plan: PlannedChange
    lines: list[Line] = field(default_factory=list)
    priority: int | None = None
    """The priority of a segment override: a lower number wins. Change requests do not change it."""

    is_new: bool = False
    """The segment has no override yet."""

    is_gone: bool = False
    """The feature, segment or override no longer exists."""

    @property
    def live_at(self) -> datetime | None:
        return self.plan.live_at

    @property
    def changes_nothing(self) -> bool:
        is_comparable = not (self.is_new or self.is_gone or self.live_at)
        return is_comparable and not any(line.differs for line in self.lines)


@dataclass(frozen=True)
class Content:
    enabled: bool
    value: Value
    shares: Mapping[int, float]


def differences_of(request: ChangeRequest) -> list[Difference]:
    """The differences in the request's order, in a constant number of queries."""
    plans = list(request.changes.all())
    drafts, live_states = _states(request, plans)
    options = _options(plans, drafts.values())
    _read_shares([*drafts.values(), *live_states.values()] if options else [])
    return [_difference(plan, drafts, live_states, options) for plan in plans]


@dataclass(frozen=True)
class OverridesDifference:
    """The overrides of a feature, by the names of their segments: removed ones, and the order."""

    change_set: ChangeSet
    removed: list[str]
    missing: set[str]
    """Removed ones that are not there any more."""

    before: list[str]
    """The present order without the removed ones; empty if the order stays, or is live."""

    after: list[str]


def change_sets_of(request: ChangeRequest) -> list[OverridesDifference]:
    """The removals and orders in the request. One query, if there are any that are not live."""
    change_sets = list(request.change_sets.all())
    present: dict[int, list[Segment]] = {}
    if pending := [each.feature_id for each in change_sets if each.live_at is None]:
        overrides = FeatureSegment.objects.filter(environment=request.environment_id, feature__in=pending)
        for each in overrides.filter(feature_states__version__isnull=False).select_related("segment"):
            present.setdefault(each.feature_id, []).append(each.segment)
    return [_overrides_difference(each, present.get(each.feature_id, [])) for each in change_sets]


def _overrides_difference(change_set: ChangeSet, present: list[Segment]) -> OverridesDifference:
    removed = {each["id"]: each["name"] for each in change_set.removed}
    now = [each for each in present if each.pk not in removed]
    places = {each["id"]: place for place, each in enumerate(change_set.order)}
    if change_set.live_at is not None:
        return OverridesDifference(
            change_set, list(removed.values()), set(), [], [each["name"] for each in change_set.order]
        )
    after = sorted(now, key=lambda segment: places.get(segment.pk, len(places))) if places else []
    return OverridesDifference(
        change_set,
        list(removed.values()),
        {name for pk, name in removed.items() if pk not in {each.pk for each in present}},
        [each.name for each in now] if places else [],
        [each.name for each in after],
    )


def _difference(plan: PlannedChange, drafts: States, live_states: States, options: Mapping[int, str]) -> Difference:
    target = (plan.feature_id, plan.segment_id)
    if plan.content is not None:
        return Difference(plan, list(_lines(None, _content_of_json(plan.content), options)))
    draft, live = drafts.get(target), live_states.get(target)
    if draft is None:
        return Difference(plan, is_gone=True)
    before = _content_of_state(live) if live is not None else None
    segment = draft.feature_segment
    return Difference(
        plan,
        list(_lines(before, _content_of_state(draft), options)),
        priority=segment.priority if segment is not None else None,
        is_new=segment is not None and live is None,
    )


def _lines(before: Content | None, after: Content, options: Mapping[int, str]) -> Iterable[Line]:
    yield Line("Enabled", _on_or_off(before.enabled) if before else None, _on_or_off(after.enabled))
    yield Line(
        "Value", value_text(before.value, after.value) if before else None, value_text(after.value), is_code=True
    )
    for option in sorted({*after.shares, *(before.shares if before else ())}):
        share_before = f"{before.shares.get(option, 0):g} %" if before else None
        yield Line(
            f"Share of {options.get(option, 'an option that is gone')}",
            share_before,
            f"{after.shares.get(option, 0):g} %",
        )


def _on_or_off(enabled: bool) -> str:
    return "On" if enabled else "Off"


def value_text(value: Value, compared_with: Value = None) -> str:
    """A value as text. An empty string is quoted, and so is one that reads like the other value of another type."""
    match value:
        case None:
            return "no value"
        case bool():
            return "true" if value else "false"
        case str() if not value or (
            compared_with is not None and not isinstance(compared_with, str) and str(compared_with) == value
        ):
            return f"“{value}”"
    return str(value)


def _content_of_state(state: FeatureState) -> Content:
    shares = getattr(state, "shares", ())
    columns = getattr(state, "feature_state_value", None)
    return Content(state.enabled, columns.value if columns is not None else None, dict(shares))


def _content_of_json(content: Mapping[str, Any]) -> Content:
    columns = content["feature_state_value"]
    shares = content["multivariate_feature_state_values"]
    return Content(
        content["enabled"],
        value_from_columns(*(columns[name] for name in ("type", "boolean_value", "integer_value", "string_value"))),
        {each["multivariate_feature_option"]: each["percentage_allocation"] for each in shares},
    )


def _states(request: ChangeRequest, plans: list[PlannedChange]) -> tuple[States, States]:
    """The draft states of the request, and the live states that they replace."""
    pending = [plan for plan in plans if plan.content is None]
    if not pending:
        return {}, {}
    targets = Q(feature_segment=None) | Q(feature_segment__segment__in={plan.segment_id for plan in pending} - {None})
    states = STATES_WITH_VALUES.filter(
        targets, environment=request.environment_id, identity=None, feature__in={plan.feature_id for plan in pending}
    )
    found = list(states.filter(Q(version__isnull=False) | Q(change_request=request)).order_by("id"))
    drafts = [state for state in found if state.version is None]
    return _by_target(drafts), _by_target(state for state in found if state.version is not None)


def _by_target(states: Iterable[FeatureState]) -> States:
    return {
        (state.feature_id, state.feature_segment.segment_id if state.feature_segment else None): state
        for state in states
    }


def _options(plans: Iterable[PlannedChange], drafts: Iterable[FeatureState]) -> dict[int, str]:
    """The values of multivariate options by primary key. No query if no feature has options."""
    features = {state.feature_id for state in drafts if state.feature.type == FeatureType.MULTIVARIATE}
    contents = [(plan.feature_id, plan.content) for plan in plans if plan.content is not None]
    features |= {feature for feature, content in contents if content["multivariate_feature_state_values"]}
    if not features:
        return {}
    rows = MultivariateFeatureOption.objects.filter(feature__in=features).only("pk", *VALUE_COLUMNS)
    return {option.pk: _short(value_text(option.value)) for option in rows}


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _read_shares(states: list[FeatureState]) -> None:
    """Set ``shares`` on each state: its options with their percentages."""
    if not states:
        return
    by_state: dict[int, list[tuple[int, float]]] = {}
    rows = MultivariateFeatureStateValue.objects.filter(feature_state__in=states).order_by("id")
    for state, option, percentage in rows.values_list(
        "feature_state", "multivariate_feature_option", "percentage_allocation"
    ):
        by_state.setdefault(state, []).append((option, percentage))
    for each in states:
        each.shares = by_state.get(each.pk, [])  # type: ignore[attr-defined]
