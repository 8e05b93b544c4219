"""A project's change requests: they change segments."""

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
from tests.support.heard import listening
from tests.workflows.conftest import client_of
from users.models import FFAdminUser

# Events go out with commits.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

Body = dict[str, Any]


def rules(value: str) -> list[Body]:
    """As they are stored: the trait ``plan`` is this."""
    condition = {"operator": "EQUAL", "property": "plan", "value": value, "description": None}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}]


def refused(answer: Any, message: str) -> bool:
    return (answer.status_code, answer.json()) == (400, {"detail": message, "message": message})


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/change-requests/"


@pytest.fixture
def segments(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/segments/"


@pytest.fixture
def propose(admin: APIClient, path: str, segment: Segment) -> Callable[..., Body]:
    """Ask for ``segment`` to be of another name and of other rules."""

    def make(value: str = "max", **body: Any) -> Body:
        wanted = {"name": f"{value}s", "description": "d", "rules": rules(value), "version_of": segment.pk}
        answer = admin.post(path, {"title": "t", "segments": [wanted], **body}, "json")
        assert answer.status_code == 201, answer.content
        made: Body = answer.json()
        return made

    return make


@pytest.fixture
def make_member(organisation: Organisation, project: Project) -> Callable[..., APIClient]:
    """A member of the organisation who sees the project, and has these permissions there."""

    def make(name: str, *keys: str) -> APIClient:
        user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name=name, last_name="M")
        UserOrganisation.objects.create(user=user, organisation=organisation, role=OrganisationRole.USER)
        project.userpermission.create(user=user).permissions.add("VIEW_PROJECT", *keys)
        return client_of(user)

    return make


def test_draft__made_shown_and_listed__in_flagsmiths_shapes(
    admin: APIClient, path: str, propose: Callable[..., Body], project: Project, segment: Segment, user: FFAdminUser
) -> None:
    made = propose()
    assert list(made) == [
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
    (shown,) = made["segments"]
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
        "change_request": made["id"],
    }
    found = admin.get(f"{path}{made['id']}/").json()
    assert list(found) == [
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
    assert (found["environment"], found["user"], found["segments"]) == (None, user.pk, made["segments"])
    listed = admin.get(path).json()
    assert (listed["count"], listed["results"][0]["id"], listed["results"][0]["live_from"]) == (1, made["id"], None)


def test_list__filters__as_the_dashboard_asks(
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


def test_commit__the_segment_changes__with_one_event_per_environment(
    admin: APIClient,
    path: str,
    segments: str,
    propose: Callable[..., Body],
    environment: Environment,
    production: Environment,
    segment: Segment,
) -> None:
    made = propose()
    before = admin.get(f"{segments}{segment.pk}/").json()
    assert before["name"] == "professionals"
    with listening(environment, production) as heard:
        answer = admin.post(f"{path}{made['id']}/commit/")
        assert answer.status_code == 200, answer.content
        assert (len(heard.of(environment)), len(heard.of(production))) == (1, 1)
    assert answer.json()["is_committed"] is True
    after = admin.get(f"{segments}{segment.pk}/").json()
    assert (after["id"], after["uuid"]) == (before["id"], before["uuid"])
    assert (after["name"], after["description"]) == ("maxs", "d")
    assert after["rules"][0]["rules"][0]["conditions"][0]["value"] == "max"
    assert refused(admin.post(f"{path}{made['id']}/commit/"), "This change request has been committed already.")
    message = "A change request that has been committed and is live cannot be deleted."
    assert refused(admin.delete(f"{path}{made['id']}/"), message)


def test_draft_edit_approval_and_deletion__no_event(
    admin: APIClient,
    make_member: Callable[..., APIClient],
    path: str,
    propose: Callable[..., Body],
    environment: Environment,
) -> None:
    approver = make_member("approver", "APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS")
    with listening(environment) as heard:
        made = propose()
        own = f"{path}{made['id']}/"
        edited = [{**made["segments"][0], "name": "edited"}]
        answer = admin.put(own, {"title": "u", "segments": edited}, "json")
        assert (answer.status_code, answer.json()["segments"][0]["name"]) == (200, "edited")
        assert approver.post(f"{own}approve/").status_code == 200
        assert admin.delete(own).status_code == 204
        assert heard.of(environment) == []


def test_approvals__as_the_project_wants(
    admin: APIClient,
    make_member: Callable[..., APIClient],
    path: str,
    propose: Callable[..., Body],
    project: Project,
) -> None:
    Project.objects.filter(pk=project.pk).update(minimum_change_request_approvals=1)
    own = f"{path}{propose()['id']}/"
    assert refused(admin.post(f"{own}approve/"), "User cannot approve their own Change Request.")
    message = "Change request has not been approved by all required approvers."
    assert refused(admin.post(f"{own}commit/"), message)
    approver = make_member("approver", "APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS")
    answer = approver.post(f"{own}approve/")
    assert (answer.status_code, answer.json()["is_approved"]) == (200, True)
    whole = admin.get(own).json()
    assert admin.put(own, {**whole, "title": "u"}, "json").status_code == 200
    changed = {**whole, "segments": [{**whole["segments"][0], "name": "other"}]}
    assert admin.put(own, changed, "json").status_code == 400
    assert admin.post(f"{own}commit/").status_code == 200


@pytest.mark.parametrize("gone", ["segment", "feature"])
def test_commit__of_what_is_gone__refused_and_nothing_changed(
    admin: APIClient, path: str, segments: str, segment: Segment, feature: Feature, project: Project, gone: str
) -> None:
    other = Segment.objects.create(name="others", project=project)
    wanted = [
        {"name": "first", "rules": rules("a"), "version_of": other.pk},
        {"name": "second", "rules": rules("b"), "version_of": segment.pk, "feature": feature.pk},
    ]
    made = admin.post(path, {"title": "t", "segments": wanted}, "json").json()
    if gone == "segment":
        admin.delete(f"{segments}{segment.pk}/")
        message = "The segment professionals no longer exists."
    else:
        admin.delete(f"/api/v1/projects/{project.pk}/features/{feature.pk}/")
        message = "The feature that the segment second is for no longer exists."
    assert refused(admin.post(f"{path}{made['id']}/commit/"), message)
    other.refresh_from_db()
    assert other.name == "others"


def test_conflicts__another_request_changed_the_segment_since__named(
    admin: APIClient, path: str, propose: Callable[..., Body], segment: Segment
) -> None:
    made, other = propose("a"), propose("b")
    committed = admin.post(f"{path}{other['id']}/commit/").json()
    assert admin.get(f"{path}{made['id']}/").json()["conflicts"] == [
        {
            "original_cr_id": other["id"],
            "segment_id": segment.pk,
            "is_environment_default": False,
            "published_at": committed["committed_at"],
        }
    ]
    assert committed["conflicts"] == []


def test_creation__bad_segments__refused_by_name(
    admin: APIClient, path: str, segment: Segment, organisation: Organisation
) -> None:
    elsewhere = Segment.objects.create(
        name="elsewhere", project=Project.objects.create(name="Other", organisation=organisation)
    )
    good = {"name": "n", "rules": rules("a"), "version_of": segment.pk}
    for item, error in (
        (
            {**good, "version_of": elsewhere.pk},
            {"version_of": [f'Invalid pk "{elsewhere.pk}" - object does not exist.']},
        ),
        ({**good, "rules": []}, {"rules": {"non_field_errors": ["This list may not be empty."]}}),
        ({"name": "n", "rules": rules("a")}, {"version_of": ["This field is required."]}),
        (good, {"version_of": ["This request changes the same segment already."]}),
    ):
        answer = admin.post(path, {"title": "t", "segments": [good, item]}, "json")
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


@pytest.mark.parametrize(("method", "rest", "body", "keys"), CALLS)
def test_call__with_its_permissions__allowed_and_without_one_forbidden(
    make_member: Callable[..., APIClient],
    outsider: APIClient,
    path: str,
    propose: Callable[..., Body],
    method: str,
    rest: str,
    body: Any,
    keys: tuple[str, ...],
) -> None:
    whole = f"{path}{propose()['id']}/{rest}"
    assert getattr(outsider, method)(whole, body, "json").status_code == 404
    for key in keys:
        without = make_member(key.lower(), *(other for other in keys if other != key))
        assert getattr(without, method)(whole, body, "json").status_code == 403
    assert getattr(make_member("with", *keys), method)(whole, body, "json").status_code in (200, 204)
