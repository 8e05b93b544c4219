import pytest
from rest_framework.test import APIClient

from features.models import Feature
from organisations.models import Organisation
from projects.models import Project
from projects.tags.models import Tag
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/tags/"


def test_tag__created__default_colour_and_project_of_the_path(
    admin: APIClient, outsider: APIClient, project: Project, path: str
) -> None:
    foreign = Project.objects.create(name="x", organisation=Organisation.objects.get(name="Strangers"))

    response = admin.post(path, {"label": "beta", "project": foreign.pk, "type": "STALE"}, format="json")

    assert response.status_code == 201
    tag = response.json()
    assert (tag["color"], tag["project"], tag["type"]) == ("#6837FC", project.pk, "NONE")
    assert admin.get(f"{path}get-by-uuid/{tag['uuid']}/").json() == tag
    assert outsider.get(f"/api/v1/projects/{foreign.pk}/tags/{tag['id']}/").status_code == 404


def test_tag__changed_and_deleted__feature_is_kept(admin: APIClient, feature: Feature, path: str) -> None:
    tag = admin.post(path, {"label": "beta"}, format="json").json()
    feature.tags.add(tag["id"])

    changed = admin.put(f"{path}{tag['id']}/", {"label": "gamma", "color": "#000000"}, format="json")
    assert changed.json() == tag | {"label": "gamma", "color": "#000000"}
    assert admin.delete(f"{path}{tag['id']}/").status_code == 204
    assert Feature.objects.get().tags.count() == 0


def test_system_tag__changed_or_deleted__400(admin: APIClient, project: Project, path: str) -> None:
    tag = Tag.objects.create(label="stale", project=project, is_system_tag=True)

    changed = admin.patch(f"{path}{tag.pk}/", {"label": "mine"}, format="json")
    assert (changed.status_code, changed.json()) == (400, {"non_field_errors": ["Cannot update a system tag."]})
    deleted = admin.delete(f"{path}{tag.pk}/")
    assert (deleted.status_code, deleted.json()) == (400, {"message": "Cannot delete a system tag."})


def test_tags__member_with_view_permission__may_read_but_not_write(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, project: Project, path: str
) -> None:
    tag = admin.post(path, {"label": "beta"}, format="json").json()
    permission = project.userpermission.create(user=member_user)
    permission.permissions.set(["VIEW_PROJECT"])

    assert member.get(path).json()["results"] == [tag]
    assert member.get(f"{path}{tag['id']}/").json() == tag
    assert member.post(path, {"label": "mine"}, format="json").status_code == 403
    assert member.delete(f"{path}{tag['id']}/").status_code == 403

    permission.permissions.add("MANAGE_TAGS")
    assert member.post(path, {"label": "mine"}, format="json").status_code == 201


def test_tags__page_size__ignored_and_999_on_a_page(admin: APIClient, project: Project, path: str) -> None:
    Tag.objects.bulk_create(Tag(label=str(number), project=project) for number in range(1000))

    first = admin.get(path, {"page_size": 10}).json()
    assert (first["count"], len(first["results"])) == (1000, 999)
    assert len(admin.get(first["next"]).json()["results"]) == 1
    missing = admin.get(path, {"page": 3})
    assert (missing.status_code, missing.json()) == (404, {"detail": "Invalid page."})
