"""Copies of an environment's feature states and overrides, for a clone of the environment."""

from typing import Any

from environments.models import Environment
from features.models import FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import COLUMNS

SHARE = ("multivariate_feature_option_id", "percentage_allocation")

Overrides = dict[int | None, FeatureSegment | None]
"""The copies of overrides by the primary keys of the originals; no override has none."""


def copy_states(source: Environment, clone: Environment) -> None:
    """Give the clone the source's live states and segment overrides, but not those of identities.

    A constant number of queries, however much there is to copy. (SQLite splits large inserts.)
    """
    _copy_states(source, clone, _copy_overrides(source, clone))


def _copy_overrides(source: Environment, clone: Environment) -> Overrides:
    """Copy which segments override what, in which order."""
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


def _copy_states(source: Environment, clone: Environment, overrides: Overrides) -> None:
    """Copy the live states with their values and shares, and keep the shares' order: variants are dealt out in it."""
    originals = FeatureState.objects.filter(environment=source, identity=None, version__isnull=False).order_by("pk")
    copies = FeatureState.objects.bulk_create(
        FeatureState(
            environment=clone,
            feature_segment=overrides[original.feature_segment_id],
            **_fields(original, ("feature_id", "enabled", "version")),
        )
        for original in originals
    )
    copy_of = {original.pk: copy for original, copy in zip(originals, copies, strict=True)}
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=copy_of[value.feature_state_id], **_fields(value, COLUMNS))
        for value in FeatureStateValue.objects.filter(feature_state__in=originals.order_by().values("pk"))
    )
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(feature_state=copy_of[share.feature_state_id], **_fields(share, SHARE))
        for share in MultivariateFeatureStateValue.objects.filter(
            feature_state__in=originals.order_by().values("pk")
        ).order_by("pk")
    )


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
