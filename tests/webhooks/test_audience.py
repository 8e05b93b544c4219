"""Which webhooks get a delivery of a change, its ``changed_by``, and the number of queries. Nothing is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment, Webhook
from features.models import Feature, FeatureState
from organisations.models import Organisation, OrganisationWebhook
from projects.models import Project
from tests.webhooks.conftest import NewBodies, ok
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db


def test_organisation_webhook__feature_created__receives_its_states_and_each_audit_log_entry(
    admin: APIClient,
    features: str,
    environment: Environment,
    production: Environment,
    organisation_webhook: OrganisationWebhook,
    new_bodies: NewBodies,
) -> None:
    ok(admin.post(features, {"name": "new"}, "json"))
    bodies = new_bodies()
    assert [body["event_type"] for body in bodies] == ["FLAG_UPDATED"] * 2 + ["AUDIT_LOG_CREATED"] * 3
    entry = bodies[2]["data"]
    assert (entry["log"], entry["related_object_type"]) == ("New Flag / Remote Config created: new", "FEATURE")
    assert (entry["author"]["email"], entry["project"]["name"]) == ("admin@example.com", "Web")
    listed = ok(admin.get(f"/api/v1/organisations/{environment.project.organisation_id}/audit/"))["results"]
    assert sorted(each["id"] for each in listed) == [body["data"]["id"] for body in bodies[2:]]
    assert listed[-1] == entry


def test_organisation_webhook__segment_created__receives_the_audit_log_entry(
    admin: APIClient,
    project: Project,
    organisation_webhook: OrganisationWebhook,
    webhook: Webhook,
    new_bodies: NewBodies,
) -> None:
    rules = [{"type": "ALL", "rules": [], "conditions": []}]
    ok(
        admin.post(
            f"/api/v1/projects/{project.pk}/segments/", {"name": "s", "project": project.pk, "rules": rules}, "json"
        )
    )
    (body,) = new_bodies()
    assert (body["event_type"], body["data"]["log"]) == ("AUDIT_LOG_CREATED", "New Segment created: s")


def test_organisation_webhook__environment_created_and_cloned__receives_no_flag_event(
    admin: APIClient,
    environment: Environment,
    feature: Feature,
    organisation_webhook: OrganisationWebhook,
    new_bodies: NewBodies,
) -> None:
    ok(admin.post("/api/v1/environments/", {"name": "New", "project": environment.project_id}, "json"))
    ok(admin.post(f"/api/v1/environments/{environment.api_key}/clone/", {"name": "Clone"}, "json"))
    assert {body["event_type"] for body in new_bodies()} == {"AUDIT_LOG_CREATED"}


def test_webhooks__disabled_or_of_other_environments__no_delivery(
    admin: APIClient, states: str, state: FeatureState, webhook: Webhook, production: Environment, new_bodies: NewBodies
) -> None:
    webhook.enabled = False
    webhook.save()
    Webhook.objects.create(environment=production, url="https://hooks.example.com/")
    stranger = Organisation.objects.create(name="Strangers")
    OrganisationWebhook.objects.create(organisation=stranger, url="https://hooks.example.com/")
    ok(admin.put(f"{states}{state.pk}/", {"enabled": True}, "json"))
    assert new_bodies() == []


@override_settings(DISABLE_WEBHOOKS=True)
def test_webhooks__disabled_by_the_setting__no_delivery(
    admin: APIClient,
    states: str,
    state: FeatureState,
    webhook: Webhook,
    organisation_webhook: OrganisationWebhook,
    new_bodies: NewBodies,
) -> None:
    ok(admin.put(f"{states}{state.pk}/", {"enabled": True}, "json"))
    assert new_bodies() == []


def test_changed_by__master_api_key__its_name(
    admin: APIClient,
    organisation: Organisation,
    states: str,
    state: FeatureState,
    webhook: Webhook,
    new_bodies: NewBodies,
) -> None:
    key = ok(admin.post(f"/api/v1/organisations/{organisation.pk}/master-api-keys/", {"name": "ci"}, "json"))["key"]
    script = APIClient()
    script.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    ok(script.put(f"{states}{state.pk}/", {"enabled": True}, "json"))
    (body,) = new_bodies()
    assert body["data"]["changed_by"] == "ci"


def test_change__outside_of_a_request__no_delivery(
    state: FeatureState, webhook: Webhook, new_bodies: NewBodies
) -> None:
    state.enabled = True
    state.save()
    assert new_bodies() == []


def test_webhook__deleted__its_deliveries_are_deleted(
    admin: APIClient, states: str, state: FeatureState, environment: Environment, webhook: Webhook
) -> None:
    ok(admin.put(f"{states}{state.pk}/", {"enabled": True}, "json"))
    assert Delivery.objects.count() == 1
    ok(admin.delete(f"/api/v1/environments/{environment.api_key}/webhooks/{webhook.pk}/"))
    assert not Delivery.objects.exists()


def queries(call: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        ok(call())
    return [query["sql"] for query in captured.captured_queries]


def test_writes__no_webhooks__one_more_query_at_most(
    admin: APIClient, project: Project, features: str, states: str, state: FeatureState, environment: Environment
) -> None:
    rules = [{"type": "ALL", "rules": [], "conditions": []}]
    segment = {"name": "s", "project": project.pk, "rules": rules}
    calls: list[Callable[[], Any]] = [
        lambda: admin.put(f"{states}{state.pk}/", {"enabled": True, "feature_state_value": "x"}, "json"),
        lambda: admin.post(features, {"name": "new"}, "json"),
        lambda: admin.delete(f"{features}{state.feature_id}/"),
        lambda: admin.post(f"/api/v1/projects/{project.pk}/segments/", segment, "json"),
        lambda: admin.patch(f"/api/v1/environments/{environment.api_key}/", {"name": "Renamed"}, "json"),
    ]
    of_webhooks = [[sql for sql in queries(call) if "webhook" in sql] for call in calls]
    assert [len(each) for each in of_webhooks] == [1] * len(calls), of_webhooks
    identities = f"/api/v1/environments/{environment.api_key}/identities/"
    assert not any("webhook" in sql for sql in queries(lambda: admin.post(identities, {"identifier": "u"}, "json")))


def test_writes__webhooks__as_many_queries_for_ten_environments_as_for_two(
    admin: APIClient, project: Project, features: str, organisation_webhook: OrganisationWebhook
) -> None:
    def count_queries() -> list[int]:
        of_creation = len(queries(lambda: admin.post(features, {"name": "new"}, "json")))
        pk = Feature.objects.get(name="new").pk
        return [of_creation, len(queries(lambda: admin.delete(f"{features}{pk}/")))]

    def add_environments(number: int) -> None:
        for _ in range(number):
            name = f"environment {Environment.objects.count()}"
            environment = Environment.objects.create(name=name, project=project)
            Webhook.objects.create(environment=environment, url="https://hooks.example.com/")

    add_environments(2)
    with_two = count_queries()
    add_environments(8)
    assert count_queries() == with_two
