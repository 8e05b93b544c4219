"""An environment in numbers, for the head of its page."""

from typing import Any

from django.db.models import Count, Q

from environments.models import Environment
from features.models import FeatureState


def figures(environment: Environment) -> list[dict[str, Any]]:
    """What the environment's live states come to, archived features left out, in the order of ``rank``."""
    default = Q(identity=None, feature_segment=None)
    states = FeatureState.objects.filter(environment=environment, version__isnull=False, feature__is_archived=False)
    counts = states.aggregate(
        total_features=Count("pk", filter=default),
        enabled_features=Count("pk", filter=default & Q(enabled=True)),
        segment_overrides=Count("pk", filter=Q(identity=None, feature_segment__isnull=False)),
        identity_overrides=Count("pk", filter=Q(identity__isnull=False)),
    )
    named = (
        ("total_features", "Total features", "features"),
        ("enabled_features", "Features enabled", "features"),
        ("segment_overrides", "Segment overrides", "segments"),
        ("identity_overrides", "Identity overrides", "identities"),
    )
    return [
        {"value": counts[name], "description": description, "name": name, "entity": entity, "rank": rank}
        for rank, (name, description, entity) in enumerate(named, start=1)
    ]
