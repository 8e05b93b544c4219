"""The endpoints of the audit log: permissions, filters and pages."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.models import AuditLog
from core import actor
from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
from tests.conftest import make_organisation, signed_in
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ALL = "/api/v1/audit/"


@pytest.fixture
def organisation_path(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/audit/"


@pytest.fixture
def entries(
    admin: APIClient, project_path: str, environment: Environment, production: Environment, project: Project
) -> list[int]:
    """The ids of a feature's entries (of the project, ``environment`` and ``production``) and of a system event, the
    oldest first."""
    response = admin.post(f"{project_path}features/", {"name": "banner"}, format="json")
    assert response.status_code == 201
    with actor.system():
        production.name = "Live"
        production.save()
    return list(AuditLog.objects.order_by("pk").values_list("pk", flat=True))


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [entry["id"] for entry in response.json()["results"]]


@pytest.mark.parametrize("name", ["all", "organisation", "project"])
def test_list__admin__newest_first(
    admin: APIClient, project_path: str, organisation_path: str, entries: list[int], name: str
) -> None:
    path = {"all": ALL, "organisation": organisation_path, "project": f"{project_path}audit/"}[name]
    assert ids(admin.get(path)) == entries[::-1]
    for pk in entries:
        assert admin.get(f"{path}{pk}/").json()["id"] == pk


def test_entry__in_a_list__without_the_details(admin: APIClient, organisation_path: str, entries: list[int]) -> None:
    whole = admin.get(f"{organisation_path}{entries[0]}/").json()
    assert admin.get(organisation_path).json()["results"][-1] == {
        name: content for name, content in whole.items() if name not in ("change_details", "change_type")
    }


@pytest.mark.parametrize(
    "query,expected",
    [
        ("project={project}", [3, 2, 1, 0]),
        ("project=0", []),
        ("environments={environment}", [1]),
        ("environments={environment}&environments={production}", [3, 2, 1]),
        ("environments=0", []),
        ("search=FLAG", [2, 1, 0]),
        ("search=live", [3]),
        ("search=none", []),
        ("is_system_event=true", [3]),
        ("is_system_event=false", [2, 1, 0]),
        ("is_system_event=false&environments={production}&search=created", [2]),
        ("project=&environments=&search=&is_system_event=", [3, 2, 1, 0]),
    ],
)
def test_list__filtered__matching_entries(
    admin: APIClient,
    organisation_path: str,
    entries: list[int],
    project: Project,
    environment: Environment,
    production: Environment,
    query: str,
    expected: list[int],
) -> None:
    query = query.format(project=project.pk, environment=environment.pk, production=production.pk)
    assert ids(admin.get(f"{organisation_path}?{query}")) == [entries[index] for index in expected]


@pytest.mark.parametrize(
    "query",
    ["project=x", "environments=x", "environments=1&environments=-1", "is_system_event=x", f"search={'x' * 257}"],
)
def test_list__invalid_filter__400_names_it(admin: APIClient, organisation_path: str, query: str) -> None:
    response = admin.get(f"{organisation_path}?{query}")
    assert response.status_code == 400
    assert list(response.json()) == [query.partition("=")[0]]


def test_list__page_size__applied(admin: APIClient, organisation_path: str, entries: list[int]) -> None:
    first = admin.get(f"{organisation_path}?page_size=3").json()
    second = admin.get(first["next"]).json()

    assert (first["count"], first["previous"], second["next"]) == (4, None, None)
    assert [entry["id"] for page in (first, second) for entry in page["results"]] == entries[::-1]
    assert admin.get(f"{organisation_path}?page=9").json() == {"detail": "Invalid page."}


def test_list__page_size_over_the_limit__999_entries(
    admin: APIClient, organisation: Organisation, organisation_path: str
) -> None:
    transaction = "0" * 32
    AuditLog.objects.bulk_create(
        AuditLog(organisation=organisation, log=str(number), transaction=transaction) for number in range(1_000)
    )
    page = admin.get(f"{organisation_path}?page_size=5000").json()
    assert (len(page["results"]), page["count"]) == (999, 1_000)


def test_list__more_entries__same_number_of_queries(
    admin: APIClient,
    project_path: str,
    organisation_path: str,
    entries: list[int],
    queries: Callable[[Callable[[], object]], int],
) -> None:
    before = queries(lambda: admin.get(organisation_path))
    for number in range(5):
        admin.post(f"{project_path}features/", {"name": f"f{number}"}, format="json")
    assert queries(lambda: admin.get(organisation_path)) == before


def test_all__member_of_two_organisations__entries_of_the_administered_one(
    member_user: FFAdminUser, entries: list[int]
) -> None:
    own = make_organisation("Own", member_user)
    project = Project.objects.create(name="Own", organisation=own)
    with actor.system():
        Environment.objects.create(name="Own", project=project)
    response = signed_in(member_user).get(ALL)

    assert [entry["log"] for entry in response.json()["results"]] == ["New Environment created: Own"]


def test_list__member_without_permission__403(
    member: APIClient, project_path: str, organisation_path: str, entries: list[int]
) -> None:
    assert ids(member.get(ALL)) == []
    assert member.get(f"{ALL}{entries[0]}/").status_code == 404
    for pk in ("", f"{entries[0]}/"):
        assert member.get(f"{organisation_path}{pk}").status_code == 403
        # The member may not see the project.
        assert member.get(f"{project_path}audit/{pk}").status_code == 404


def test_list__master_api_key__its_organisation_and_projects(
    script: APIClient, project_path: str, organisation_path: str, entries: list[int]
) -> None:
    for path in (organisation_path, f"{project_path}audit/"):
        assert ids(script.get(path)) == entries[::-1]
        assert script.get(f"{path}{entries[0]}/").status_code == 200
    assert script.get(ALL).status_code == 403


def test_project__permission_view_audit_log__required(
    member: APIClient, member_user: FFAdminUser, project: Project, project_path: str, entries: list[int]
) -> None:
    permission = project.userpermission.create(user=member_user)
    permission.permissions.add("VIEW_PROJECT")
    assert member.get(f"{project_path}audit/").status_code == 403
    permission.permissions.add("VIEW_AUDIT_LOG")
    assert ids(member.get(f"{project_path}audit/")) == entries[::-1]
    assert member.get(f"{project_path}audit/{entries[0]}/").status_code == 200


def test_list__other_tenant__404(
    outsider: APIClient, project_path: str, organisation_path: str, entries: list[int], project: Project
) -> None:
    for path in (organisation_path, f"{project_path}audit/"):
        for pk in ("", f"{entries[0]}/"):
            response = outsider.get(f"{path}{pk}")
            assert (response.status_code, response.json()["detail"].split()[-4:]) == (
                404,
                ["matches", "the", "given", "query."],
            )
    assert ids(outsider.get(ALL)) == []
    assert ids(outsider.get(f"{ALL}?project={project.pk}")) == []
    own = Organisation.objects.get(name="Strangers").pk
    assert ids(outsider.get(f"/api/v1/organisations/{own}/audit/?project={project.pk}")) == []
    assert outsider.get(f"/api/v1/organisations/{own}/audit/{entries[0]}/").status_code == 404
    assert outsider.get(f"{ALL}{entries[0]}/").status_code == 404


def test_project__entry_of_another_project__404(
    admin: APIClient, organisation: Organisation, project_path: str, entries: list[int]
) -> None:
    other = Project.objects.create(name="Other", organisation=organisation)
    assert ids(admin.get(f"/api/v1/projects/{other.pk}/audit/")) == []
    assert admin.get(f"/api/v1/projects/{other.pk}/audit/{entries[0]}/").status_code == 404


def test_list__anonymous__401(anonymous: APIClient, organisation_path: str, project_path: str) -> None:
    for path in (ALL, organisation_path, f"{project_path}audit/"):
        assert anonymous.get(path).status_code == 401


def test_entry__write_methods__405(admin: APIClient, organisation_path: str, entries: list[int]) -> None:
    for path in (ALL, organisation_path):
        assert admin.post(path, {}, format="json").status_code == 405
        for method in ("put", "patch", "delete"):
            assert getattr(admin, method)(f"{path}{entries[0]}/", {}, format="json").status_code == 405
    assert AuditLog.objects.count() == len(entries)


def test_organisation__deleted__its_entries_are_deleted(
    admin: APIClient, organisation: Organisation, entries: list[int]
) -> None:
    assert admin.delete(f"/api/v1/organisations/{organisation.pk}/").status_code == 204
    assert not AuditLog.objects.exists()
