"""Exports the features of an environment in Flagsmith's format."""

import json
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import ValidationError

from environments.models import Environment
from features.import_export.models import MAX_BYTES, FeatureExport
from features.models import Feature
from features.state_summaries import default_states
from projects.tags.models import Tag

MAX_AGE = timedelta(days=14)

MAX_STORED = 20
"""The number of exports that an environment keeps."""

TOO_LARGE = f"The export has more than {MAX_BYTES:,} bytes. Choose tags, to export fewer features at once."


def create_export(environment: Environment, tags: Collection[Tag] = ()) -> FeatureExport:
    """Store an export of the features with one of these tags, or of all. Archived features are left out.

    Exports that are too old, and those above ``MAX_STORED``, are deleted. Raises ValidationError if the export is too
    large to be imported.
    """
    data = json.dumps(export_features(environment, tags))
    if len(data) > MAX_BYTES:
        raise ValidationError({"tag_ids": [TOO_LARGE]})
    export = FeatureExport.objects.create(environment=environment, data=data)
    stored = FeatureExport.objects.filter(environment=environment)
    kept = stored.order_by("-pk").values_list("pk", flat=True)[:MAX_STORED]
    stored.exclude(pk__in=list(kept)).delete()
    FeatureExport.objects.filter(created_at__lt=timezone.now() - MAX_AGE).delete()
    return export


def export_features(environment: Environment, tags: Collection[Tag] = ()) -> list[dict[str, Any]]:
    """The environment's defaults with the properties of their features. A constant number of queries."""
    states = default_states(environment).filter(feature__is_archived=False, feature_state_value__isnull=False)
    if tags:
        states = states.filter(feature__in=Feature.objects.filter(tags__in=tags).values("pk"))
    states = states.select_related("feature", "feature_state_value").order_by("feature")
    states = states.prefetch_related("multivariate_feature_state_values__multivariate_feature_option")
    return [
        {
            "name": state.feature.name,
            "default_enabled": state.feature.default_enabled,
            "is_server_key_only": state.feature.is_server_key_only,
            "initial_value": state.feature.initial_value,
            "value": state.feature_state_value.value,
            "type": state.feature_state_value.type,
            "enabled": state.enabled,
            "multivariate": [
                {
                    "percentage_allocation": share.percentage_allocation,
                    "default_percentage_allocation": share.multivariate_feature_option.default_percentage_allocation,
                    "value": share.multivariate_feature_option.value,
                    "type": share.multivariate_feature_option.type,
                }
                for share in state.multivariate_feature_state_values.all()
            ],
        }
        for state in states
    ]
