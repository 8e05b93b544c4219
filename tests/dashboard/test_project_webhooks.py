"""The page Project settings > Webhooks: the webhooks of all environments that the user may see."""

from typing import Any

import pytest
from django.test import Client

from environments.models import Environment, Webhook
from projects.models import Project

pytestmark = pytest.mark.django_db


def test_webhooks__two_environments__those_that_the_user_may_see_with_links_for_admins(
    browser: Client,
    viewer: Client,
    project: Project,
    environment: Environment,
    production: Environment,
    django_assert_max_num_queries: Any,
) -> None:
    path = f"/projects/{project.pk}/settings/webhooks/"
    own = Webhook.objects.create(environment=environment, url="https://example.com/<own>")
    hidden = Webhook.objects.create(environment=production, url="https://example.com/hidden", enabled=False)
    page = browser.get(path).content.decode()
    for webhook, key in ((own, environment.api_key), (hidden, production.api_key)):
        assert f'href="/projects/{project.pk}/environments/{key}/settings/webhooks/{webhook.pk}/"' in page
        assert f'href="/projects/{project.pk}/environments/{key}/settings/webhooks/"' in page
    assert "https://example.com/&lt;own&gt;" in page
    for number in range(30):
        added = Environment.objects.create(name=f"e{number}", project=project)
        Webhook.objects.create(environment=added, url="https://example.com/")
    with django_assert_max_num_queries(12):
        browser.get(path)
    page = viewer.get(path).content.decode()
    assert "https://example.com/&lt;own&gt;" in page
    assert "https://example.com/hidden" not in page
    assert "settings/webhooks/new/" not in page
    assert f"settings/webhooks/{own.pk}/" not in page
