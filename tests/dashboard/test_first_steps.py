"""First steps: a new project has environments, then the first flag, the code, and the application's arrival."""

import pytest
from django.test import Client
from django.utils import timezone

from app_analytics.models import APIUsageBucket, Resource
from environments.models import Environment
from features.models import Feature
from organisations.models import Organisation
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(base_path: str) -> str:
    return f"{base_path}first-steps/"


def test_new_project__with_two_environments__leads_to_the_first_steps(
    browser: Client, organisation: Organisation
) -> None:
    form = {"name": "Shop", "organisation": organisation.pk, "enable_realtime_updates": "on"}
    response = browser.post("/projects/new/", form, follow=True)
    project = Project.objects.get(name="Shop")
    development, production = project.environments.order_by("pk")
    assert (development.name, production.name) == ("Development", "Production")
    path = f"/projects/{project.pk}/environments/{development.api_key}/first-steps/"
    assert response.redirect_chain == [(path, 303)]
    page = response.content.decode()
    assert 'value="banner"' in page
    assert "Waiting for your application" in page
    # The dashboard's own stream: the page must not be counted as the application.
    assert f'data-stream="/projects/{project.pk}/environments/{development.api_key}/stream/"' in page


def test_first_flag__created__the_form_is_replaced(
    browser: Client, path: str, environment: Environment, project: Project
) -> None:
    wrong = browser.post(f"{path}feature/", {"name": ""})
    assert (wrong.status_code, "name-wrong" in wrong.content.decode()) == (400, True)
    form = {"name": "banner", "initial_value": "hello", "default_enabled": "on"}
    page = browser.post(f"{path}feature/", form, follow=True).content.decode()
    feature = Feature.objects.get(project=project)
    assert (feature.name, feature.initial_value, feature.default_enabled) == ("banner", "hello", True)
    assert "Create flag" not in page


def test_snippet__of_the_chosen_sdk__with_a_key_made_for_it(
    browser: Client, viewer: Client, path: str, environment: Environment
) -> None:
    assert environment.api_key in browser.get(f"{path}?sdk=javascript").content.decode()
    page = browser.get(f"{path}?sdk=python").content.decode()
    assert "SERVER_KEY" in page
    assert "Create one" in page
    assert "Create one" not in viewer.get(f"{path}?sdk=python").content.decode()
    page = browser.post(f"{path}key/?sdk=python", follow=True).content.decode()
    assert environment.api_keys.get().key in page
    assert "SERVER_KEY" not in page
    assert browser.get(f"{path}?sdk=nothing").status_code == 200


def test_arrival__first_request_of_this_environment__green(
    browser: Client, path: str, environment: Environment, production: Environment
) -> None:
    def count(place: Environment, resource: Resource) -> None:
        today = timezone.now().date()
        APIUsageBucket.objects.create(environment_id=place.pk, resource=resource, day=today, total_count=1)

    count(production, Resource.FLAGS)
    assert browser.get(f"{path}arrival/").status_code == 204
    count(environment, Resource.IDENTITIES)
    response = browser.get(f"{path}arrival/")
    assert response.status_code == 200
    assert "Your application has arrived" in response.content.decode()
    assert "Your application has arrived" in browser.get(path).content.decode()
