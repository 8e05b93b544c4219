"""The number of queries is constant: equal for 2 and for 20 objects (150 for deletions)."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from features.defaults import create_default_states
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from projects.models import Project
from projects.tags.models import Tag
from users.models import FFAdminUser

# Real commits: in a test's transaction an environment is announced once, so later announcements make no queries.
pytestmark = pytest.mark.django_db(transaction=True)

FEATURE_STATES = "/api/v1/features/featurestates/"
FEATURE_SEGMENTS = "/api/v1/features/feature-segments/"


@pytest.fixture
def count(admin: APIClient) -> Callable[..., int]:
    """The number of queries of a successful request."""

    def counted(method: str, path: str, body: Any = None) -> int:
        with CaptureQueriesContext(connection) as queries:
            answer = getattr(admin, method)(path, body, "json") if body is not None else getattr(admin, method)(path)
        assert 200 <= answer.status_code < 300, answer.content
        return len(queries)

    return counted


@pytest.fixture
def grow(
    project: Project,
    environment: Environment,
    user: FFAdminUser,
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
) -> Callable[[int, int], list[Feature]]:
    """Create features, each with an owner, a tag, an option and overrides."""

    def make(start: int, stop: int) -> list[Feature]:
        made = []
        for number in range(start, stop):
            feature = Feature.objects.create(name=f"f{number}", project=project, initial_value="x")
            MultivariateFeatureOption.objects.create(feature=feature, default_percentage_allocation=10)
            create_default_states([feature], [environment])
            feature.owners.add(user)
            feature.tags.add(Tag.objects.create(label="t", color="#000000", project=project))
            make_override(feature, f"s{number}", 0)
            make_identity_override(feature, f"u{number}")
            made.append(feature)
        return made

    return make


def test_lists__20_objects__as_many_queries_as_for_2(
    count: Callable[..., int],
    grow: Callable[[int, int], list[Feature]],
    features: str,
    states: str,
    environment: Environment,
    make_override: Callable[..., FeatureSegment],
) -> None:
    feature, _ = grow(0, 2)
    make_override(feature, "second", 1)
    segment = FeatureSegment.objects.get(feature=feature, priority=0).segment_id
    identity = FeatureState.objects.filter(identity__isnull=False)[0].identity_id
    at = f"environment={environment.pk}"
    lists = (
        features,
        f"{features}?{at}",
        f"{features}?{at}&segment={segment}&identity={identity}&is_enabled=false&value_search=x&sort_field=name",
        f"{features}{feature.pk}/?{at}",
        f"{features}{feature.pk}/mv-options/",
        states,
        f"{states}?anyIdentity=1",
        f"{FEATURE_STATES}?{at}",
        f"{FEATURE_SEGMENTS}?{at}&feature={feature.pk}",
    )
    before = {path: count("get", path) for path in lists}
    grow(2, 20)
    for number in range(2, 20):
        make_override(feature, f"more{number}", number)
        MultivariateFeatureOption.objects.create(feature=feature, default_percentage_allocation=1)
    assert {path: count("get", path) for path in lists} == before
    assert max(before.values()) <= 14, before


def test_feature__20_environments__as_many_queries_as_for_2(
    count: Callable[..., int], features: str, project: Project, user: FFAdminUser, environment: Environment
) -> None:
    def tags(number: int) -> list[int]:
        return [Tag.objects.create(label="t", color="#000000", project=project).pk for _ in range(number)]

    def options(number: int) -> list[dict[str, Any]]:
        # SQLite splits inserts of more than 999 parameters; 20 options in 20 environments would exceed that.
        number = min(number, 4)
        return [{"string_value": str(each), "default_percentage_allocation": 1} for each in range(number)]

    def writes(name: str, number: int) -> list[int]:
        body = {"name": name, "initial_value": "x", "tags": tags(number), "owners": [user.pk]}
        found = [count("post", features, {**body, "multivariate_options": options(number)})]
        path = f"{features}{Feature.objects.get(name=name).pk}/"
        present = list(MultivariateFeatureOption.objects.filter(feature__name=name).values("id"))
        changed = [{**each, "string_value": "z"} for each in present[:1]]
        body = {"description": "d", "tags": tags(number), "multivariate_options": [*changed, *options(number - 1)]}
        found.append(count("patch", path, body))
        option = {"string_value": "one more", "default_percentage_allocation": 1}
        found.append(count("post", f"{path}mv-options/", option))
        pk = MultivariateFeatureOption.objects.get(string_value="one more").pk
        found.append(count("patch", f"{path}mv-options/{pk}/", {"string_value": "another"}))
        found.append(count("delete", f"{path}mv-options/{pk}/"))
        found.append(count("delete", path))
        return found

    Environment.objects.create(name="second", project=project)
    before = writes("first", 2)
    for number in range(18):
        Environment.objects.create(name=str(number), project=project)
    assert writes("second", 20) == before


def test_state__20_options__as_many_queries_as_for_2(
    count: Callable[..., int], states: str, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    def writes(number: int) -> list[int]:
        feature = make_feature(f"f{number}")
        options = [MultivariateFeatureOption.objects.create(feature=feature) for _ in range(number)]
        state = FeatureState.objects.get(feature=feature, identity=None)
        all_shares = [{"multivariate_feature_option": each.pk, "percentage_allocation": 1} for each in options]
        half = [{**share, "percentage_allocation": 2} for share in all_shares[: number // 2]]
        found = []
        for shares in (all_shares, half, all_shares, []):
            body = {"enabled": True, "feature_state_value": "x", "multivariate_feature_state_values": shares}
            found.append(count("put", f"{states}{state.pk}/", body))
        names = {"environment": environment.pk, "feature": feature.pk}
        body = {**names, "multivariate_feature_state_values": all_shares}
        found.append(count("put", f"{FEATURE_STATES}{state.pk}/", body))
        found.append(count("delete", f"{states}{state.pk}/"))
        found.append(count("post", states, {"feature": feature.pk, "feature_state_value": 1}))
        return found

    assert writes(2) == writes(20)


def test_overrides__20_overrides__as_many_queries_as_for_2(
    count: Callable[..., int],
    environment: Environment,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
    make_segment: Callable[..., Any],
) -> None:
    def writes(number: int) -> list[int]:
        feature = make_feature(f"f{number}")
        feature_segments = [make_override(feature, f"s{priority}", priority) for priority in range(number)]
        create = f"/api/v1/environments/{environment.api_key}/features/{feature.pk}/create-segment-override/"
        new = {"segment": make_segment("new").pk, "priority": 0}
        reversed_ = [{"id": each.pk, "priority": number - each.priority} for each in feature_segments]
        return [
            count("post", create, {"feature_segment": new, "feature_state_value": {"string_value": "x"}}),
            count("post", f"{FEATURE_SEGMENTS}update-priorities/", reversed_),
            count("post", f"{FEATURE_SEGMENTS}update-priorities/", reversed_[:1]),
            count("delete", f"{FEATURE_SEGMENTS}{feature_segments[1].pk}/"),
        ]

    assert writes(2) == writes(20)


def test_feature__deleted_with_150_overrides__as_many_queries_as_for_2(
    count: Callable[..., int],
    features: str,
    environment: Environment,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
) -> None:
    def deletion(number: int) -> int:
        feature = make_feature(f"f{number}")
        make_override(feature, f"s{number}", 0)
        for each in range(number):
            make_identity_override(feature, f"u{each}")
        return count("delete", f"{features}{feature.pk}/")

    assert deletion(2) == deletion(150)


def test_option__deleted_with_150_shares__as_many_queries_as_for_2(
    count: Callable[..., int],
    features: str,
    environment: Environment,
    make_feature: Callable[..., Feature],
    make_identity_override: Callable[..., FeatureState],
) -> None:
    def deletion(number: int) -> int:
        feature = make_feature(f"f{number}")
        option, _ = (MultivariateFeatureOption.objects.create(feature=feature) for _ in range(2))
        for each in range(number):
            state = make_identity_override(feature, f"u{each}")
            state.multivariate_feature_state_values.create(multivariate_feature_option=option, percentage_allocation=1)
        return count("delete", f"{features}{feature.pk}/mv-options/{option.pk}/")

    assert deletion(2) == deletion(150)
