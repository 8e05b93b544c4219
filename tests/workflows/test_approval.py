"""Permissions and preconditions of viewing, approving, committing and deleting a change request."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from features.workflows.core.models import ChangeRequest
from organisations.models import Organisation
from tests.workflows.conftest import REQUESTS, in_a
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

OWN_REQUEST = "User cannot approve their own Change Request."
NOT_APPROVED = "Change request has not been approved by all required approvers."
ALREADY_COMMITTED = "This change request has been committed already."
NOT_EDITABLE = (
    "The changes of an approved or committed change request cannot be edited. Delete it and create a new one."
)

Propose = Callable[..., dict[str, Any]]


def rejected(answer: Any, message: str) -> bool:
    return (answer.status_code, answer.json()) == (400, {"detail": message, "message": message})


@pytest.fixture
def two_approvals(environment: Environment) -> None:
    """Require two approvals in ``environment``."""
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=2)


def test_approve__own_request__rejected(admin: APIClient, propose: Propose, two_approvals: None) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    assert rejected(admin.post(f"{path}approve/"), OWN_REQUEST)
    assert admin.get(path).json()["is_approved"] is False


def test_approve__master_api_key__rejected(
    propose: Propose, organisation: Organisation, admin: APIClient, two_approvals: None
) -> None:
    key = admin.post(f"/api/v1/organisations/{organisation.pk}/master-api-keys/", {"name": "ci"}, "json").json()["key"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    answer = client.post(f"{REQUESTS}{propose()['id']}/approve/")
    assert rejected(answer, "Only a user can approve a Change Request, not a master API key.")


def test_commit__too_few_approvals__rejected_and_nothing_changed(
    admin: APIClient, approver: APIClient, propose: Propose, two_approvals: None, state: FeatureState
) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    assert approver.post(f"{path}approve/").status_code == 200
    assert rejected(admin.post(f"{path}commit/"), NOT_APPROVED)
    retrieved = admin.get(path).json()
    assert (retrieved["is_approved"], retrieved["is_committed"], retrieved["committed_at"]) == (False, False, None)
    assert FeatureState.objects.filter(pk=state.pk, enabled=False).exists()


def test_commit__required_approvals_given__goes_live(
    admin: APIClient,
    user: FFAdminUser,
    approver: APIClient,
    make_member: Callable[..., APIClient],
    propose: Propose,
    two_approvals: None,
    flags: Callable[[], Any],
) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    approver.post(f"{path}approve/")
    second = make_member("second", "APPROVE_CHANGE_REQUEST").post(f"{path}approve/")
    assert second.status_code == 200
    assert second.json()["is_approved"] is True
    answer = admin.post(f"{path}commit/")
    assert answer.status_code == 200
    retrieved = answer.json()
    assert (retrieved["is_committed"], retrieved["committed_by"]) == (True, user.pk)
    assert retrieved["committed_at"] is not None
    assert flags() == {"banner": (True, "new")}


def test_approve__second_time__updates_the_time(approver: APIClient, propose: Propose) -> None:
    path = f"{REQUESTS}{propose()['id']}/approve/"
    (first,) = approver.post(path).json()["approvals"]
    (second,) = approver.post(path).json()["approvals"]
    assert (first["id"], first["user"]) == (second["id"], second["user"])
    assert first["approved_at"] < second["approved_at"]


def test_approve__requested_reviewer__one_approval(admin: APIClient, approver: APIClient, propose: Propose) -> None:
    reviewer = FFAdminUser.objects.get(email="approver@example.com")
    path = f"{REQUESTS}{propose(approvals=[{'user': reviewer.pk}])['id']}/"
    (approval,) = approver.post(f"{path}approve/").json()["approvals"]
    assert approval["approved_at"] is not None


def test_commit__own_request_and_no_approvals_required__allowed(
    admin: APIClient, environment: Environment, propose: Propose
) -> None:
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=0)
    assert admin.post(f"{REQUESTS}{propose()['id']}/commit/").status_code == 200


def test_commit__second_time__rejected_and_nothing_changed(
    admin: APIClient, propose: Propose, flags: Callable[[], Any], feature: Feature
) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    committed = admin.post(f"{path}commit/").json()
    FeatureState.objects.filter(feature=feature).update(enabled=False)
    assert rejected(admin.post(f"{path}commit/"), ALREADY_COMMITTED)
    assert admin.get(path).json() == committed
    assert FeatureState.objects.get(feature=feature).enabled is False


def test_edit__approved_request__states_rejected_and_title_allowed(
    admin: APIClient, approver: APIClient, propose: Propose, feature: Feature
) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    approver.post(f"{path}approve/")
    request = admin.get(path).json()
    changed = {**request, "feature_states": [{"feature": feature.pk, "enabled": False}]}
    assert rejected(admin.put(path, changed, "json"), NOT_EDITABLE)
    answer = admin.put(path, {**request, "title": "u", "ignore_conflicts": True}, "json")
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["ignore_conflicts"]) == ("u", True)
    assert answer.json()["feature_states"] == request["feature_states"]


def test_edit__request_of_another_user__states_forbidden_and_title_allowed(
    admin: APIClient, make_member: Callable[..., APIClient], propose: Propose, creation: str, feature: Feature
) -> None:
    other = make_member("other", "CREATE_CHANGE_REQUEST", "APPROVE_CHANGE_REQUEST", "UPDATE_FEATURE_STATE")
    path = f"{REQUESTS}{propose()['id']}/"
    states = [{"feature": feature.pk, "enabled": False}]
    assert other.patch(path, {"feature_states": states}, "json").status_code == 403
    request = other.get(path).json()
    assert other.put(path, {**request, "title": "u"}, "json").status_code == 200
    own_request = other.post(creation, {"title": "t", "feature_states": []}, "json").json()
    for client in (other, admin):
        assert client.patch(f"{REQUESTS}{own_request['id']}/", {"feature_states": states}, "json").status_code == 200
        states[0]["enabled"] = not states[0]["enabled"]


@pytest.mark.parametrize("live_from", [None, "2100-01-01T00:00:00Z"])
def test_edit__committed_request__states_rejected(
    admin: APIClient, propose: Propose, feature: Feature, live_from: str | None
) -> None:
    state = {"feature": feature.pk, "enabled": True, "live_from": live_from}
    path = f"{REQUESTS}{propose(state)['id']}/"
    admin.post(f"{path}commit/")
    request = admin.get(path).json()
    assert rejected(admin.patch(path, {"feature_states": []}, "json"), NOT_EDITABLE)
    assert rejected(admin.patch(path, {"feature_states": [{**state, "enabled": False}]}, "json"), NOT_EDITABLE)
    assert admin.put(path, request, "json").status_code == 200
    assert admin.get(path).json()["feature_states"] == request["feature_states"]


def test_delete__draft__removed_with_its_states(admin: APIClient, propose: Propose) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    answer = admin.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert admin.get(path).status_code == 404
    assert FeatureState.objects.filter(version=None).count() == 0


def test_delete__live_request__rejected(admin: APIClient, propose: Propose) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    admin.post(f"{path}commit/")
    assert rejected(admin.delete(path), "A change request that has been committed and is live cannot be deleted.")
    assert ChangeRequest.objects.count() == 1


def test_delete__scheduled_request__removed_with_its_states(admin: APIClient, schedule: Callable[..., Any]) -> None:
    assert admin.delete(f"{REQUESTS}{schedule(in_a(days=1))['id']}/").status_code == 204
    assert FeatureState.objects.filter(version=None).count() == 0


def test_delete__author__request_kept(admin: APIClient, propose: Propose, user: FFAdminUser) -> None:
    pk = propose()["id"]
    user.delete()
    assert ChangeRequest.objects.get(pk=pk).user is None


CALLS = (
    ("get", "", None, "VIEW_ENVIRONMENT"),
    ("patch", "", {"title": "u"}, "CREATE_CHANGE_REQUEST"),
    ("delete", "", None, "CREATE_CHANGE_REQUEST"),
    ("post", "approve/", None, "APPROVE_CHANGE_REQUEST"),
    ("post", "commit/", None, "UPDATE_FEATURE_STATE"),
)


@pytest.mark.parametrize(("method", "path", "body", "key"), CALLS)
def test_endpoint__required_permission__allowed_and_forbidden_without_it(
    make_member: Callable[..., APIClient],
    propose: Propose,
    method: str,
    path: str,
    body: Any,
    key: str,
) -> None:
    others = {"CREATE_CHANGE_REQUEST", "APPROVE_CHANGE_REQUEST", "UPDATE_FEATURE_STATE", "MANAGE_SEGMENT_OVERRIDES"}
    url = f"{REQUESTS}{propose()['id']}/{path}"
    if key != "VIEW_ENVIRONMENT":
        forbidden = getattr(make_member("without", *(others - {key})), method)(url, body, "json")
        assert forbidden.status_code == 403
        message = "You do not have permission to perform this action."
        assert forbidden.json() == {"detail": message, "message": message}
    assert getattr(make_member("with", key), method)(url, body, "json").status_code in (200, 204)


def test_create_and_list__member__needs_permissions(
    make_member: Callable[..., APIClient], creation: str, listing: str, environment: Environment
) -> None:
    body = {"title": "t", "feature_states": []}
    viewer = make_member("without", "UPDATE_FEATURE_STATE")
    assert viewer.post(creation, body, "json").status_code == 403
    assert viewer.get(listing).status_code == 200
    assert make_member("with", "CREATE_CHANGE_REQUEST").post(creation, body, "json").status_code == 201


def test_endpoints__another_tenant__not_found(
    outsider: APIClient, member: APIClient, propose: Propose, creation: str, listing: str
) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    message = "No ChangeRequest matches the given query."
    for client in (outsider, member):
        for method, suffix, body, _ in CALLS:
            answer = getattr(client, method)(path + suffix, body, "json")
            assert (answer.status_code, answer.json()) == (404, {"detail": message, "message": message})
        assert client.post(creation, {"title": "t", "feature_states": []}, "json").status_code == 404
        assert client.get(listing).status_code == 404
    assert ChangeRequest.objects.count() == 1


def test_endpoints__no_credentials__401(anonymous: APIClient, propose: Propose, creation: str, listing: str) -> None:
    path = f"{REQUESTS}{propose()['id']}/"
    for method, suffix, body, _ in CALLS:
        assert getattr(anonymous, method)(path + suffix, body, "json").status_code == 401
    assert anonymous.post(creation, {}, "json").status_code == 401
    assert anonymous.get(listing).status_code == 401
