"""Tags of a project: created, changed, deleted."""

import pytest
from django.test import Client

from features.models import Feature
from projects.models import Project
from projects.tags.models import Tag
from tests.dashboard.test_environment_settings import digests

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(project: Project) -> str:
    return f"/projects/{project.pk}/settings/tags/"


def test_tag__created_changed_and_deleted(browser: Client, path: str, project: Project, feature: Feature) -> None:
    wrong = browser.post(f"{path}new/", {"label": "", "color": "#123456"})
    assert (wrong.status_code, 'id="tag-label-wrong"' in wrong.content.decode()) == (400, True)
    browser.post(f"{path}new/", {"label": "web", "color": "#123456", "description": "d"})
    tag = Tag.objects.get(project=project)
    feature.tags.add(tag)
    page = browser.get(path).content.decode()
    assert "1 feature<" in page
    assert 'fill="#123456"' in page
    opened = browser.get(f"{path}{tag.pk}/").content.decode()
    form = {"label": "site", "color": "#654321", "description": "", "digests": digests(opened)}
    assert browser.post(f"{path}{tag.pk}/", form)["Location"] == path
    tag.refresh_from_db()
    assert (tag.label, tag.color) == ("site", "#654321")
    assert browser.post(f"{path}{tag.pk}/", form).status_code == 409
    assert "Delete the tag site?" in browser.get(f"{path}{tag.pk}/delete/").content.decode()
    browser.post(f"{path}{tag.pk}/delete/")
    assert not Tag.objects.exists()


def test_tags__viewer__sees_them_and_may_not_change_them(viewer: Client, path: str, project: Project) -> None:
    tag = Tag.objects.create(label="web", project=project)
    page = viewer.get(path).content.decode()
    assert "web" in page
    assert "MANAGE_TAGS" in page
    assert "Create tag" not in page
    assert viewer.post(f"{path}new/", {"label": "mine"}).status_code == 403
    assert viewer.post(f"{path}{tag.pk}/delete/").status_code == 303
    assert Tag.objects.filter(pk=tag.pk).exists()
