"""The tab "Settings" of a feature."""

import pytest
from django.test import Client

from features.models import Feature
from projects.models import Project
from projects.tags.models import Tag
from tests.dashboard.features.forms import checked_values
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def test_settings__description_tags_owners(
    browser: Client, page: str, feature: Feature, project: Project, user: FFAdminUser
) -> None:
    tags = [Tag.objects.create(label=label, project=project) for label in ("shop", "later")]
    feature.tags.add(tags[1])
    form = {"description": "What it\r\ndoes", "tags": [str(tags[0].pk)], "is_server_key_only": "on"}
    response = browser.post(f"{page}settings/", form, follow=True)
    content = response.content.decode()
    feature.refresh_from_db()
    assert (feature.description, feature.is_server_key_only) == ("What it\ndoes", True)
    assert [each.label for each in feature.tags.all()] == ["shop"]
    assert checked_values(content, "tags") == [str(tags[0].pk)]
    response = browser.post(f"{page}settings/", {"tags": ["999999"], "description": "kept"})
    assert (response.status_code, "kept</textarea>" in response.content.decode()) == (400, True)
    browser.post(f"{page}settings/owners/", {"action": "add", "user": str(user.pk)})
    assert list(feature.owners.all()) == [user]
    browser.post(f"{page}settings/owners/", {"action": "remove", "user": str(user.pk)})
    assert not feature.owners.exists()
    response = browser.post(f"{page}settings/owners/", {"action": "add", "user": ""}, follow=True)
    assert 'class="message error"' in response.content.decode()
