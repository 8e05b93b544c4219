"""Copies feature states and segment overrides to the clone of an environment."""

from typing import Any

from environments.models import Environment
from features.models import FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import VALUE_COLUMNS

SHARE_COLUMNS = ("multivariate_feature_option_id", "percentage_allocation")

Copies = dict[int | None, FeatureSegment | None]
"""Copied feature segments by the original's primary key. None maps to None: an environment default has no segment."""


def copy_states(source: Environment, clone: Environment) -> None:
    """Copy live environment defaults and segment overrides; identity overrides are not copied.

    Uses a constant number of queries (SQLite splits large inserts).
    """
    _copy_states(source, clone, _copy_feature_segments(source, clone))


def _copy_feature_segments(source: Environment, clone: Environment) -> Copies:
    originals = list(
        FeatureSegment.objects.filter(
            environment=source, feature_states__identity=None, feature_states__version__isnull=False
        )
    )
    copies = FeatureSegment.objects.bulk_create(
        FeatureSegment(environment=clone, **_fields(original, ("feature_id", "segment_id", "priority")))
        for original in originals
    )
    return {None: None} | {original.pk: copy for original, copy in zip(originals, copies, strict=True)}


def _copy_states(source: Environment, clone: Environment, feature_segments: Copies) -> None:
    """Copy live states with values and shares. The shares keep their order, since it decides an identity's variant."""
    originals = FeatureState.objects.filter(environment=source, identity=None, version__isnull=False).order_by("pk")
    copies = FeatureState.objects.bulk_create(
        FeatureState(
            environment=clone,
            feature_segment=feature_segments[original.feature_segment_id],
            **_fields(original, ("feature_id", "enabled", "version")),
        )
        for original in originals
    )
    copies_by_pk = {original.pk: copy for original, copy in zip(originals, copies, strict=True)}
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=copies_by_pk[value.feature_state_id], **_fields(value, VALUE_COLUMNS))
        for value in FeatureStateValue.objects.filter(feature_state__in=originals.order_by().values("pk"))
    )
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state=copies_by_pk[share.feature_state_id], **_fields(share, SHARE_COLUMNS)
        )
        for share in MultivariateFeatureStateValue.objects.filter(
            feature_state__in=originals.order_by().values("pk")
        ).order_by("pk")
    )


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
