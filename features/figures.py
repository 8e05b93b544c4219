"""Counts shown in an environment's page header."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from environments.models import Environment
from features.models import FeatureState

Figure = tuple[int, str, str, str]
"""A number, its name, the name that people read, and what it counts."""


def figures(environment: Environment) -> list[dict[str, Any]]:
    """What the environment comes to, in the order of ``rank``; of its change requests only where it has them."""
    found = [*_of_states(environment)]
    if environment.minimum_change_request_approvals is not None:
        found += _of_change_requests(environment)
    return [
        {"value": value, "description": description, "name": name, "entity": entity, "rank": rank}
        for rank, (value, name, description, entity) in enumerate(found, start=1)
    ]


def _of_states(environment: Environment) -> Iterator[Figure]:
    """Of the live states, archived features left out."""
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


def _of_change_requests(environment: Environment) -> Iterator[Figure]:
    """Drafts, and what is committed and still waits for its time."""
    waits = Q(committed_at__isnull=False, due_at__gt=timezone.now())
    counts = environment.change_requests.aggregate(
        drafts=Count("pk", filter=Q(committed_at=None)), scheduled=Count("pk", filter=waits)
    )
    yield counts["drafts"], "open_change_requests", "Open change requests", "workflows"
    yield counts["scheduled"], "total_scheduled_changes", "Scheduled changes", "workflows"
