"""Migration that fills the feature, segment and identity of existing entries."""

from collections.abc import Callable
from importlib import import_module

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from segments.models import Segment
from tests.features.conftest import make_identity_override, make_override, make_segment  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.database]

COLUMNS = ("feature_id", "segment_id", "identity_id")


def test_migration__existing_entries__get_the_feature_and_whose_state_it_is(
    admin: APIClient,
    environment: Environment,
    feature: Feature,
    segment: Segment,
    make_override: Callable[..., FeatureSegment],  # noqa: F811
    make_identity_override: Callable[..., FeatureState],  # noqa: F811
) -> None:
    override = make_override(feature, "beta", 0)
    of_segment = FeatureState.objects.get(feature_segment=override)
    default = FeatureState.objects.get(environment=environment, feature=feature, identity=None, feature_segment=None)
    of_identity = make_identity_override(feature, "ada")
    of_removed = make_identity_override(feature, "bob")
    AuditLog.objects.all().delete()

    def entry(kind: str, pk: int) -> AuditLog:
        return AuditLog.objects.create(
            organisation=environment.project.organisation,
            project=environment.project,
            environment=environment,
            related_object_type=kind,
            related_object_id=pk,
            transaction="7" * 32,
        )

    expected = {
        entry("FEATURE", feature.pk).pk: (feature.pk, None, None),
        entry("FEATURE_STATE", default.pk).pk: (feature.pk, None, None),
        entry("FEATURE_STATE", of_segment.pk).pk: (feature.pk, override.segment_id, None),
        entry("FEATURE_STATE", of_identity.pk).pk: (feature.pk, None, of_identity.identity_id),
        entry("FEATURE_STATE", of_removed.pk).pk: (None, None, None),
        entry("SEGMENT", segment.pk).pk: (None, None, None),
    }
    of_removed.delete()
    AuditLog.objects.exclude(pk__in=expected).delete()

    import_module("audit.migrations.0004_feature_of_existing_entries").fill(apps, None)

    assert {pk: columns for pk, *columns in AuditLog.objects.values_list("pk", *COLUMNS)} == {
        pk: list(columns) for pk, columns in expected.items()
    }
