"""Fixtures: the path of a feature's page, segments, segment overrides and multivariate options."""

from typing import Any

import pytest

from environments.models import Environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureState
from features.multivariate.services import add_option
from projects.models import Project
from segments.models import Segment
from tests.dashboard.features.forms import text


@pytest.fixture
def page(base_path: str, feature: Feature) -> str:
    """The path of the feature's page."""
    return f"{base_path}features/{feature.pk}/"


@pytest.fixture
def segments(project: Project) -> list[Segment]:
    return [Segment.objects.create(name=name, project=project) for name in ("first", "second", "third")]


@pytest.fixture
def overrides(environment: Environment, feature: Feature, segments: list[Segment]) -> list[FeatureState]:
    """An override for each segment, in the order of ``segments``."""
    return [create_override(environment, feature, each, value=text(each.name)) for each in segments]


@pytest.fixture
def options(feature: Feature) -> list[Any]:
    """Two options with 20 % each."""
    return [
        add_option(feature, type="unicode", string_value=name, default_percentage_allocation=20.0)
        for name in ("a", "b")
    ]
