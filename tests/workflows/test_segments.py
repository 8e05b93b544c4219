"""Change requests of projects, which change segments."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature
from features.workflows.core.models import ChangeRequest
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from projects.models import Project
from segments.models import Segment
from tests.support.events import recorded_events
from tests.workflows.conftest import client_of
from users.models import FFAdminUser

# Events are published on commit.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

Body = dict[str, Any]


def rules(value: str) -> list[Body]:
    """Stored rules: the trait ``plan`` has this value."""
    condition = {"operator": "EQUAL", "property": "plan", "value": value, "description": None}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}]


def rejected(answer: Any, message: str) -> bool:
    return (answer.status_code, answer.json()) == (400, {"detail": message, "message": message})


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/change-requests/"


@pytest.fixture
def segments(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/segments/"


@pytest.fixture
def propose(admin: APIClient, path: str, segment: Segment) -> Callable[..., Body]:
    """Create a change request that changes the name and the rules of ``segment``."""

    def make(value: str = "max", **body: Any) -> Body:
        requested = {"name": f"{value}s", "description": "d", "rules": rules(value), "version_of": segment.pk}
        answer = admin.post(path, {"title": "t", "segments": [requested], **body}, "json")
        assert answer.status_code == 201, answer.content
        created: Body = answer.json()
        return created

    return make


@pytest.fixture
def make_member(organisation: Organisation, project: Project) -> Callable[..., APIClient]:
    """Create a client of a member with VIEW_PROJECT and these permissions in the project."""

    def make(name: str, *keys: str) -> APIClient:
        user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name=name, last_name="M")
        UserOrganisation.objects.create(user=user, organisation=organisation, role=OrganisationRole.USER)
        project.userpermission.create(user=user).permissions.add("VIEW_PROJECT", *keys)
        return client_of(user)

    return make


def test_draft__created_retrieved_and_listed__in_flagsmiths_formats(
    admin: APIClient, path: str, propose: Callable[..., Body], project: Project, segment: Segment, user: FFAdminUser
) -> None:
    created = propose()
    assert list(created) == [
        "id",
        "approvals",
        "committed_at",
        "committed_by",
        "created_at",
        "deleted_at",
        "description",
        "group_assignments",
        "project_id",
        "segments",
        "title",
        "updated_at",
        "user",
    ]
    (shown,) = created["segments"]
    times = {name: shown[name] for name in ("id", "uuid", "created_at", "updated_at")}
    assert shown == {
        **times,
        "name": "maxs",
        "description": "d",
        "project": project.pk,
        "feature": None,
        "version_of": segment.pk,
        "rules": rules("max"),
        "metadata": [],
        "membership_counts": [],
        "managed_by": "",
        "change_request": created["id"],
    }
    retrieved = admin.get(f"{path}{created['id']}/").json()
    assert list(retrieved) == [
        "id",
        "created_at",
        "updated_at",
        "environment",
        "title",
        "description",
        "user",
        "committed_at",
        "committed_by",
        "deleted_at",
        "approvals",
        "is_approved",
        "is_committed",
        "group_assignments",
        "segments",
        "change_sets",
        "conflicts",
    ]
    assert (retrieved["environment"], retrieved["user"], retrieved["segments"]) == (None, user.pk, created["segments"])
    listed = admin.get(path).json()
    assert (listed["count"], listed["results"][0]["id"], listed["results"][0]["live_from"]) == (1, created["id"], None)


def test_list__filters__applied(
    admin: APIClient, path: str, propose: Callable[..., Body], segment: Segment, environment: Environment
) -> None:
    first, second = propose(title="first")["id"], propose(title="second")["id"]
    ChangeRequest.objects.create(project=segment.project, environment=environment, title="an environment's")
    admin.post(f"{path}{second}/commit/")

    def ids(query: str) -> list[int]:
        return [item["id"] for item in admin.get(f"{path}?{query}").json()["results"]]

    assert ids("") == [second, first]
    assert ids("committed=true") == [second]
    assert ids("committed=false") == [first]
    assert ids("search=FIRST") == [first]
    assert ids(f"segment_id={segment.pk}") == [second, first]
    assert ids(f"segment_id={segment.pk + 1}") == []
    assert admin.get(f"{path}?committed=perhaps").status_code == 400


def test_commit__draft__segment_changed_with_one_event_per_environment(
    admin: APIClient,
    path: str,
    segments: str,
    propose: Callable[..., Body],
    environment: Environment,
    production: Environment,
    segment: Segment,
) -> None:
    created = propose()
    before = admin.get(f"{segments}{segment.pk}/").json()
    assert before["name"] == "professionals"
    with recorded_events(environment, production) as events:
        answer = admin.post(f"{path}{created['id']}/commit/")
        assert answer.status_code == 200, answer.content
        assert (len(events.of(environment)), len(events.of(production))) == (1, 1)
    assert answer.json()["is_committed"] is True
    after = admin.get(f"{segments}{segment.pk}/").json()
    assert (after["id"], after["uuid"]) == (before["id"], before["uuid"])
    assert (after["name"], after["description"]) == ("maxs", "d")
    assert after["rules"][0]["rules"][0]["conditions"][0]["value"] == "max"
    assert rejected(admin.post(f"{path}{created['id']}/commit/"), "This change request has been committed already.")
    message = "A change request that has been committed and is live cannot be deleted."
    assert rejected(admin.delete(f"{path}{created['id']}/"), message)


def test_draft__edited_approved_and_deleted__no_event(
    admin: APIClient,
    make_member: Callable[..., APIClient],
    path: str,
    propose: Callable[..., Body],
    environment: Environment,
) -> None:
    approver = make_member("approver", "APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS")
    with recorded_events(environment) as events:
        created = propose()
        request_path = f"{path}{created['id']}/"
        edited = [{**created["segments"][0], "name": "edited"}]
        answer = admin.put(request_path, {"title": "u", "segments": edited}, "json")
        assert (answer.status_code, answer.json()["segments"][0]["name"]) == (200, "edited")
        assert approver.post(f"{request_path}approve/").status_code == 200
        assert admin.delete(request_path).status_code == 204
        assert events.of(environment) == []


def test_approvals__required_by_the_project__commit_and_edit_checked(
    admin: APIClient,
    make_member: Callable[..., APIClient],
    path: str,
    propose: Callable[..., Body],
    project: Project,
) -> None:
    Project.objects.filter(pk=project.pk).update(minimum_change_request_approvals=1)
    request_path = f"{path}{propose()['id']}/"
    assert rejected(admin.post(f"{request_path}approve/"), "User cannot approve their own Change Request.")
    message = "Change request has not been approved by all required approvers."
    assert rejected(admin.post(f"{request_path}commit/"), message)
    approver = make_member("approver", "APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS")
    answer = approver.post(f"{request_path}approve/")
    assert (answer.status_code, answer.json()["is_approved"]) == (200, True)
    request = admin.get(request_path).json()
    assert admin.put(request_path, {**request, "title": "u"}, "json").status_code == 200
    changed = {**request, "segments": [{**request["segments"][0], "name": "other"}]}
    assert admin.put(request_path, changed, "json").status_code == 400
    assert admin.post(f"{request_path}commit/").status_code == 200


@pytest.mark.parametrize("missing", ["segment", "feature"])
def test_commit__segment_or_feature_deleted__rejected_and_nothing_changed(
    admin: APIClient, path: str, segments: str, segment: Segment, feature: Feature, project: Project, missing: str
) -> None:
    other = Segment.objects.create(name="others", project=project)
    requested = [
        {"name": "first", "rules": rules("a"), "version_of": other.pk},
        {"name": "second", "rules": rules("b"), "version_of": segment.pk, "feature": feature.pk},
    ]
    created = admin.post(path, {"title": "t", "segments": requested}, "json").json()
    if missing == "segment":
        admin.delete(f"{segments}{segment.pk}/")
        message = "The segment professionals no longer exists."
    else:
        admin.delete(f"/api/v1/projects/{project.pk}/features/{feature.pk}/")
        message = "The feature that the segment second is for no longer exists."
    assert rejected(admin.post(f"{path}{created['id']}/commit/"), message)
    other.refresh_from_db()
    assert other.name == "others"


def test_conflicts__segment_changed_by_another_request__listed(
    admin: APIClient, path: str, propose: Callable[..., Body], segment: Segment
) -> None:
    created, other = propose("a"), propose("b")
    committed = admin.post(f"{path}{other['id']}/commit/").json()
    assert admin.get(f"{path}{created['id']}/").json()["conflicts"] == [
        {
            "original_cr_id": other["id"],
            "segment_id": segment.pk,
            "is_environment_default": False,
            "published_at": committed["committed_at"],
        }
    ]
    assert committed["conflicts"] == []


def test_create__invalid_segments__rejected_with_field(
    admin: APIClient, path: str, segment: Segment, organisation: Organisation
) -> None:
    in_other_project = Segment.objects.create(
        name="elsewhere", project=Project.objects.create(name="Other", organisation=organisation)
    )
    valid = {"name": "n", "rules": rules("a"), "version_of": segment.pk}
    for item, error in (
        (
            {**valid, "version_of": in_other_project.pk},
            {"version_of": [f'Invalid pk "{in_other_project.pk}" - object does not exist.']},
        ),
        ({**valid, "rules": []}, {"rules": {"non_field_errors": ["This list may not be empty."]}}),
        ({"name": "n", "rules": rules("a")}, {"version_of": ["This field is required."]}),
        (valid, {"version_of": ["This request changes the same segment already."]}),
    ):
        answer = admin.post(path, {"title": "t", "segments": [valid, item]}, "json")
        assert (answer.status_code, answer.json()) == (400, {"segments": [{}, error]})
    assert ChangeRequest.objects.count() == 0


CALLS = (
    ("get", "", None, ()),
    ("patch", "", {"title": "u"}, ("CREATE_PROJECT_LEVEL_CHANGE_REQUESTS",)),
    ("delete", "", None, ("CREATE_PROJECT_LEVEL_CHANGE_REQUESTS",)),
    ("delete", "", None, ("MANAGE_PROJECT_LEVEL_CHANGE_REQUESTS",)),
    ("post", "approve/", None, ("APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS",)),
    ("post", "commit/", None, ("MANAGE_PROJECT_LEVEL_CHANGE_REQUESTS", "MANAGE_SEGMENTS")),
)


@pytest.mark.parametrize(("method", "suffix", "body", "keys"), CALLS)
def test_endpoint__required_permissions__allowed_and_forbidden_without_one(
    make_member: Callable[..., APIClient],
    outsider: APIClient,
    path: str,
    propose: Callable[..., Body],
    method: str,
    suffix: str,
    body: Any,
    keys: tuple[str, ...],
) -> None:
    url = f"{path}{propose()['id']}/{suffix}"
    assert getattr(outsider, method)(url, body, "json").status_code == 404
    for key in keys:
        without_key = make_member(key.lower(), *(other for other in keys if other != key))
        assert getattr(without_key, method)(url, body, "json").status_code == 403
    assert getattr(make_member("with", *keys), method)(url, body, "json").status_code in (200, 204)
