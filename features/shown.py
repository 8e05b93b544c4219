"""What a list of features shows of them in an environment.

Read for a page of features at once, and as plain rows: an instance for each of 1,000 states took as long as all else.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db.models import Count, Q, QuerySet

from core.representation import MAX_LISTED_ROWS
from environments.models import Environment
from features.models import Feature, FeatureState
from features.values import value_of

COLUMNS = ("feature", "id", "environment", "identity", "feature_segment", "enabled")
VALUE = tuple(f"feature_state_value__{column}" for column in ("type", "boolean_value", "integer_value", "string_value"))


def live_states(environment: Environment) -> QuerySet[FeatureState]:
    return FeatureState.objects.filter(environment=environment, version__isnull=False)


def default_states(environment: Environment) -> QuerySet[FeatureState]:
    return live_states(environment).filter(identity=None, feature_segment=None)


def show(features: Sequence[Feature], environment: Environment, segment: int | None) -> None:
    """Give each feature its default there (``environment_state``), this segment's override of it (``segment_state``),
    both as the API shows them, and the numbers of its overrides."""
    by_key: dict[int, Any] = {feature.pk: feature for feature in features}
    for feature_id, state in _summaries(default_states(environment), by_key):
        by_key[feature_id].environment_state = state
    if segment is not None:
        overrides = live_states(environment).filter(feature_segment__segment=segment, identity=None)
        # The first of a feature's comes last, and stays.
        for feature_id, state in _summaries(overrides.order_by("-feature_segment__priority", "-id"), by_key):
            by_key[feature_id].segment_state = state
    overridden = live_states(environment).filter(Q(feature_segment__isnull=False) | Q(identity__isnull=False))
    counted = _of(overridden, by_key).order_by().values("feature")
    for row in counted.annotate(
        of_segments=Count("pk", filter=Q(identity=None)), of_identities=Count("pk", filter=Q(identity__isnull=False))
    ):
        feature = by_key.get(row["feature"])
        if feature is not None:
            feature.segment_overrides = row["of_segments"]
            feature.identity_overrides = row["of_identities"]


def _of(states: QuerySet[FeatureState], features: Collection[int]) -> QuerySet[FeatureState]:
    """At least the states of these features."""
    return states.filter(feature__in=features) if len(features) < MAX_LISTED_ROWS else states


def _summaries(states: QuerySet[FeatureState], features: Collection[int]) -> Iterable[tuple[int, dict[str, Any]]]:
    rows = _of(states, features).values_list(*COLUMNS, *VALUE)
    for feature_id, pk, environment_id, identity_id, feature_segment_id, enabled, *value in rows:
        if feature_id not in features:
            continue
        yield (
            feature_id,
            {
                "id": pk,
                "feature_state_value": value_of(*value),
                "environment": environment_id,
                "identity": identity_id,
                "feature_segment": feature_segment_id,
                "enabled": enabled,
            },
        )
