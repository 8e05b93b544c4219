"""The number of queries of logged requests, which does not grow with the number of entries."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureState, FeatureStateValue
from projects.models import Project
from segments.models import Segment

# Each request has its own transaction, as in production: versions are raised at its end.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

Queries = Callable[[Callable[[], object]], int]

SHARES = "multivariate_feature_state_values"


@pytest.fixture
def send(admin: APIClient) -> Callable[..., Any]:
    def call(method: str, path: str, body: Any = None) -> Any:
        response = getattr(admin, method)(path, body, format="json")
        assert response.status_code < 300, response.content
        return response.json() if response.content else None

    return call


def add_environments(project: Project, count: int) -> None:
    for number in range(count):
        Environment.objects.create(name=f"E{number}", project=project)


def test_feature__created_and_deleted__no_query_for_each_environment_or_option(
    send: Callable[..., Any], project: Project, environment: Environment, project_path: str, queries: Queries
) -> None:
    def run(name: str, options: int) -> tuple[int, int]:
        body = {"name": name, "multivariate_options": [{"string_value": "v", "default_percentage_allocation": 1}]}
        body["multivariate_options"] *= options
        created: dict[str, Any] = {}
        of_creation = queries(lambda: created.update(send("post", f"{project_path}features/", body)))
        return of_creation, queries(lambda: send("delete", f"{project_path}features/{created['id']}/"))

    before = run("a", 1)
    add_environments(project, 4)
    assert run("b", 6) == before


def test_segment__deleted__no_query_for_each_override(
    send: Callable[..., Any],
    project: Project,
    environment: Environment,
    project_path: str,
    environment_path: str,
    make_feature: Callable[..., Feature],
    queries: Queries,
) -> None:
    def run(name: str, overrides: int) -> int:
        segment = Segment.objects.create(name=name, project=project)
        for number in range(overrides):
            feature = make_feature(f"{name}{number}")
            body = {"feature_segment": {"segment": segment.pk}, "enabled": True, "feature_state_value": {}}
            send("post", f"{environment_path}features/{feature.pk}/create-segment-override/", body)
        return queries(lambda: send("delete", f"{project_path}segments/{segment.pk}/"))

    assert run("one", 1) == run("many", 5)


def test_shares__all_changed__no_query_for_each(
    send: Callable[..., Any], environment: Environment, project_path: str, environment_path: str, queries: Queries
) -> None:
    def run(name: str, options: int) -> int:
        body = {"name": name, "multivariate_options": [{"string_value": "v", "default_percentage_allocation": 1}]}
        body["multivariate_options"] *= options
        feature = send("post", f"{project_path}features/", body)
        state = FeatureState.objects.get(feature=feature["id"], environment=environment)
        shares = [
            {"multivariate_feature_option": option["id"], "percentage_allocation": 2}
            for option in feature["multivariate_options"]
        ]
        return queries(lambda: send("put", f"{environment_path}featurestates/{state.pk}/", {SHARES: shares}))

    assert run("one", 1) == run("many", 6)


def test_identity_overrides__copied__no_query_for_each(
    send: Callable[..., Any],
    environment: Environment,
    environment_path: str,
    make_feature: Callable[..., Feature],
    queries: Queries,
) -> None:
    source, target = (Identity.objects.create(environment=environment, identifier=name) for name in "st")

    def override(identity: Identity, feature: Feature) -> None:
        state = FeatureState.objects.create(environment=environment, feature=feature, identity=identity, enabled=True)
        FeatureStateValue.objects.create(feature_state=state, string_value=identity.identifier)

    def run(count: int, name: str) -> int:
        FeatureState.objects.exclude(identity=None).delete()
        for number in range(count):
            both, old, new = (make_feature(f"{name}{kind}{number}") for kind in "bon")
            for identity, feature in ((source, both), (source, new), (target, both), (target, old)):
                override(identity, feature)
        path = f"{environment_path}identities/{target.pk}/featurestates/clone-from-given-identity/"
        return queries(lambda: send("post", path, {"source_identity_id": source.pk}))

    run(1, "first")  # It fills caches.
    assert run(1, "one") == run(4, "many")


def test_priorities__reordered__no_query_for_each(
    send: Callable[..., Any],
    project: Project,
    environment: Environment,
    make_feature: Callable[..., Feature],
    queries: Queries,
) -> None:
    def run(name: str, count: int) -> int:
        feature = make_feature(name)
        overrides = []
        for number in range(count):
            segment = Segment.objects.create(name=f"{name}{number}", project=project)
            body = {"feature": feature.pk, "segment": segment.pk, "environment": environment.pk}
            overrides.append(send("post", "/api/v1/features/feature-segments/", body)["id"])
        order = [{"id": pk, "priority": priority} for priority, pk in enumerate(reversed(overrides))]
        return queries(lambda: send("post", "/api/v1/features/feature-segments/update-priorities/", order))

    assert run("two", 2) == run("many", 6)


def test_state__more_environments_and_features__same_number_of_queries(
    send: Callable[..., Any],
    project: Project,
    environment_path: str,
    state: FeatureState,
    make_feature: Callable[..., Feature],
    queries: Queries,
) -> None:
    def run(enabled: bool) -> int:
        body = {"enabled": enabled, "feature_state_value": str(enabled)}
        return queries(lambda: send("put", f"{environment_path}featurestates/{state.pk}/", body))

    before = run(True)
    add_environments(project, 3)
    for name in "abc":
        make_feature(name)
    assert run(False) == before


def test_list__entries_of_more_projects__same_number_of_queries(
    admin: APIClient, organisation: Any, send: Callable[..., Any], queries: Queries
) -> None:
    def run() -> int:
        return queries(lambda: admin.get(f"/api/v1/organisations/{organisation.pk}/audit/"))

    def add_project(name: str) -> None:
        project = send("post", "/api/v1/projects/", {"name": name, "organisation": organisation.pk})["id"]
        send("post", "/api/v1/environments/", {"name": "E", "project": project})

    add_project("one")
    before = run()
    for name in "abc":
        add_project(name)
    assert run() == before
