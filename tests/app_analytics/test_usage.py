"""Usage endpoints: filters, permissions and throttle."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from app_analytics.models import APIUsageBucket, FeatureEvaluationBucket, Resource
from environments.models import Environment
from features.models import Feature
from organisations.models import Organisation, Subscription
from projects.models import Project
from tests.app_analytics.conftest import TODAY

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ORGANISATION_PATHS = ("usage-data/", "usage-data/total-count/", "usage-data/streams/", "usage/")


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def store_count(environment: Environment, resource: Resource, day: date, count: int, **labels: str) -> None:
    APIUsageBucket.objects.create(
        environment_id=environment.pk, resource=resource, day=day, total_count=count, labels=labels
    )


@pytest.fixture
def path(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/"


def days_and_counts(response: Any) -> list[tuple[str, int]]:
    assert response.status_code == 200, response.content
    return [(row["day"], row["flags"]) for row in response.json()]


def test_usage__period__its_days_up_to_today(admin: APIClient, path: str, environment: Environment) -> None:
    for day in (0, 29, 30, 89, 90):
        store_count(environment, Resource.FLAGS, days_ago(day), day + 1)
    month = [(str(days_ago(29)), 30), (str(TODAY), 1)]
    assert days_and_counts(admin.get(f"{path}usage-data/")) == month
    quarter = [(str(days_ago(89)), 90), (str(days_ago(30)), 31), *month]
    assert days_and_counts(admin.get(f"{path}usage-data/?period=90_day_period")) == quarter
    assert admin.get(f"{path}usage-data/total-count/").json() == {"count": 31}
    assert admin.get(f"{path}usage/").json() == {"events": 31}
    for period in ("current_billing_period", "previous_billing_period"):
        response = admin.get(f"{path}usage-data/?period={period}")
        assert response.status_code == 404
        assert response.json() == {"detail": "No billing periods found for this organisation."}


def test_usage__nothing_counted__empty(admin: APIClient, path: str) -> None:
    responses = {each: admin.get(f"{path}{each}").json() for each in ORGANISATION_PATHS}
    assert responses == dict(zip(ORGANISATION_PATHS, ([], {"count": 0}, [], {"events": 0}), strict=True))


def test_usage__filtered__only_matching_environments(
    admin: APIClient, path: str, environment: Environment, production: Environment, organisation: Organisation
) -> None:
    other = Environment.objects.create(
        name="Other", project=Project.objects.create(name="App", organisation=organisation)
    )
    other_tenant = Organisation.objects.create(name="Strangers")
    Subscription.objects.create(organisation=other_tenant)
    foreign_project = Project.objects.create(name="X", organisation=other_tenant)
    foreign = Environment.objects.create(name="X", project=foreign_project)
    deleted = Environment.objects.create(name="Gone", project=other.project)
    for number, each in enumerate((environment, production, other, foreign, deleted)):
        store_count(each, Resource.FLAGS, TODAY, 10**number)
        store_count(each, Resource.STREAMS, TODAY, 3 * 10**number)
    deleted.delete()

    def read(query: str) -> tuple[int, int]:
        flags = admin.get(f"{path}usage-data/?{query}").json()
        streams = admin.get(f"{path}usage-data/streams/?{query}").json()
        return sum(row["flags"] for row in flags), sum(row["count"] for row in streams)

    assert read("") == (111, 333)
    assert read(f"project_id={environment.project_id}") == (11, 33)
    assert read(f"environment_id={production.pk}") == (10, 30)
    assert read(f"project_id={other.project_id}&environment_id={production.pk}") == (0, 0)
    assert read(f"environment_id={foreign.pk}") == read(f"project_id={foreign_project.pk}") == (0, 0)
    assert admin.get(f"{path}usage-data/total-count/").json() == {"count": 111}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("project_id=x", "project_id"),
        ("environment_id=x", "environment_id"),
        (f"environment_id={2**70}", "environment_id"),
        ("period=30", "period"),
        ("user_agent=%00", "user_agent"),
    ],
)
def test_usage__bad_query__400_with_the_field(admin: APIClient, path: str, query: str, field: str) -> None:
    for each in ("usage-data/", "usage-data/streams/"):
        response = admin.get(f"{path}{each}?{query}")
        assert response.status_code == 400
        assert list(response.json()) == [field]


def test_usage__callers_of_each_kind__admins_and_api_keys_only(
    anonymous: APIClient,
    admin: APIClient,
    member: APIClient,
    outsider: APIClient,
    path: str,
    organisation: Organisation,
) -> None:
    _, key = MasterAPIKey.objects.create_key(organisation=organisation, name="ci")
    script = APIClient(headers={"Authorization": f"Api-Key {key}"})
    callers = {anonymous: 401, admin: 200, script: 200, member: 403, outsider: 404}
    for each in ORGANISATION_PATHS:
        for client, status in callers.items():
            assert client.get(f"{path}{each}").status_code == status, each


def test_usage__too_many_requests__429_for_this_caller(
    admin: APIClient, path: str, organisation: Organisation, settings: Any
) -> None:
    settings.USAGE_THROTTLE_RATE = "5/hour"
    cache.clear()
    clients = [admin]
    for name in ("one", "two"):
        _, key = MasterAPIKey.objects.create_key(organisation=organisation, name=name)
        clients.append(APIClient(headers={"Authorization": f"Api-Key {key}"}))
    for client in clients:
        paths = [*ORGANISATION_PATHS, "usage-data/"]
        assert [client.get(f"{path}{each}").status_code for each in paths] == [200] * 5
        throttled = client.get(f"{path}usage-data/")
        assert throttled.status_code == 429
        assert 0 < int(throttled.headers["Retry-After"]) <= 3600


def test_usage__any_number_of_environments__same_number_of_queries(
    admin: APIClient, path: str, project: Project, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for number in range(20):
        environment = Environment.objects.create(name=f"{number}", project=project)
        for day in range(3):
            store_count(environment, Resource.FLAGS, days_ago(day), 1, client_application_name=f"app {number}")
    with django_assert_max_num_queries(4):
        assert len(admin.get(f"{path}usage-data/").json()) == 60


@pytest.fixture
def evaluation_path(feature: Feature) -> str:
    return f"/api/v1/projects/{feature.project_id}/features/{feature.pk}/evaluation-data/"


def test_evaluations__period__its_days_up_to_today(
    admin: APIClient, environment: Environment, feature: Feature, evaluation_path: str
) -> None:
    for day in (0, 1, 29, 30):
        FeatureEvaluationBucket.objects.create(
            environment_id=environment.pk, feature_id=feature.pk, day=days_ago(day), total_count=day + 1
        )
    path = f"{evaluation_path}?environment_id={environment.pk}"
    for query, counts in (("", [30, 2, 1]), ("&period=1", [1]), ("&period=31", [31, 30, 2, 1]), ("&period=0", [])):
        assert [row["count"] for row in admin.get(path + query).json()] == counts
    for query in ("&period=x", "&period=-1", f"&period={10**9}", "&client_application_name=%00"):
        assert admin.get(path + query).status_code == 400
    missing = admin.get(evaluation_path)
    assert (missing.status_code, missing.json()) == (400, {"environment_id": ["This field is required."]})


def test_evaluations__of_another_project_or_tenant__404(
    admin: APIClient,
    member: APIClient,
    outsider: APIClient,
    environment: Environment,
    organisation: Organisation,
    evaluation_path: str,
) -> None:
    other = Project.objects.create(name="App", organisation=organisation)
    foreign = Environment.objects.create(name="Foreign", project=other)
    own = f"{evaluation_path}?environment_id={environment.pk}"
    assert admin.get(own).status_code == 200
    assert member.get(own).status_code == outsider.get(own).status_code == 404
    for path in (
        f"{evaluation_path}?environment_id={foreign.pk}",
        own.replace(f"projects/{environment.project_id}/", f"projects/{other.pk}/"),
    ):
        assert admin.get(path).status_code == 404
