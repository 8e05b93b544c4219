"""Counts shown in an environment's page header."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from environments.models import Environment
from features.models import FeatureState

Metric = tuple[int, str, str, str]
"""Value, name, description and entity."""


def environment_metrics(environment: Environment) -> list[dict[str, Any]]:
    """Counts in the order of ``rank``. Change requests are counted only where the environment uses them."""
    metrics = [*_state_metrics(environment)]
    if environment.minimum_change_request_approvals is not None:
        metrics += _change_request_metrics(environment)
    return [
        {"value": value, "description": description, "name": name, "entity": entity, "rank": rank}
        for rank, (value, name, description, entity) in enumerate(metrics, start=1)
    ]


def _state_metrics(environment: Environment) -> Iterator[Metric]:
    """Counts of live states, without those of archived features."""
    default = Q(identity=None, feature_segment=None)
    states = FeatureState.objects.filter(environment=environment, version__isnull=False, feature__is_archived=False)
    counts = states.aggregate(
        total_features=Count("pk", filter=default),
        enabled_features=Count("pk", filter=default & Q(enabled=True)),
        segment_overrides=Count("pk", filter=Q(identity=None, feature_segment__isnull=False)),
        identity_overrides=Count("pk", filter=Q(identity__isnull=False)),
    )
    yield counts["total_features"], "total_features", "Total features", "features"
    yield counts["enabled_features"], "enabled_features", "Features enabled", "features"
    yield counts["segment_overrides"], "segment_overrides", "Segment overrides", "segments"
    yield counts["identity_overrides"], "identity_overrides", "Identity overrides", "identities"


def _change_request_metrics(environment: Environment) -> Iterator[Metric]:
    """Counts of drafts and of committed requests that are not due yet."""
    scheduled = Q(committed_at__isnull=False, due_at__gt=timezone.now())
    counts = environment.change_requests.aggregate(
        drafts=Count("pk", filter=Q(committed_at=None)), scheduled=Count("pk", filter=scheduled)
    )
    yield counts["drafts"], "open_change_requests", "Open change requests", "workflows"
    yield counts["scheduled"], "total_scheduled_changes", "Scheduled changes", "workflows"
