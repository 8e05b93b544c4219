"""Authors of entries, and which changes are logged: those of requests and those of the system."""

from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from audit import bulk
from audit.models import AuditLog
from audit.recording import record
from core import actor
from environments.models import Environment
from features.models import Feature, FeatureState
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval
from projects.models import Project
from tests.audit.conftest import Entries
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NewEntries = Callable[[], Entries]


def test_author__user__in_each_entry(
    admin: APIClient, user: FFAdminUser, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    admin.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")

    (entry,) = new_entries()
    assert entry["author"] == {
        "id": user.pk,
        "email": "admin@example.com",
        "first_name": "Ada",
        "last_name": "Admin",
        "last_login": None,
        "uuid": str(user.uuid),
    }


def test_author__master_api_key__null_and_the_key_is_stored(
    script: APIClient, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    script.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")

    (entry,) = new_entries()
    assert (entry["author"], entry["is_system_event"]) == (None, False)
    assert AuditLog.objects.get().master_api_key == MasterAPIKey.objects.get()


def test_author__deleted__entry_is_kept(
    admin: APIClient, member_user: FFAdminUser, state: FeatureState, new_entries: NewEntries
) -> None:
    with actor.request():
        actor.set_user(member_user)
        state.enabled = True
        state.save()
    member_user.delete()

    (entry,) = new_entries()
    assert (entry["log"], entry["author"]) == ("Flag state updated for feature: banner", None)


def test_change__outside_of_a_request__no_entry(state: FeatureState, new_entries: NewEntries) -> None:
    state.enabled = True
    state.save()

    assert new_entries() == []


def test_change__after_a_request__no_entry(
    admin: APIClient, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    admin.patch(f"{environment_path}featurestates/{state.pk}/", {"enabled": True}, format="json")
    admin.get(f"{environment_path}featurestates/")
    state.save()

    assert len(new_entries()) == 1
    assert actor.current() is None


def test_change__in_an_anonymous_request__no_entry(state: FeatureState, new_entries: NewEntries) -> None:
    with actor.system(), actor.request():
        actor.set_user(None)
        state.enabled = True
        state.save()

    assert new_entries() == []


def test_change__by_the_system__system_event_without_author(state: FeatureState, new_entries: NewEntries) -> None:
    with actor.system():
        state.enabled = True
        state.save()

    (entry,) = new_entries()
    assert (entry["author"], entry["is_system_event"], entry["log"]) == (
        None,
        True,
        "Flag state updated for feature: banner",
    )


def test_change_request__created_approved_committed_and_deleted__logged(
    user: FFAdminUser, member_user: FFAdminUser, project: Project, environment: Environment, new_entries: NewEntries
) -> None:
    with actor.request():
        actor.set_user(user)
        request = ChangeRequest.objects.create(title="t", project=project, environment=environment, user=user)
        request.description = "not new_entries"
        request.save()
        approval = ChangeRequestApproval.objects.create(change_request=request, user=member_user)
        for _ in range(2):
            approval.approved_at = timezone.now()
            approval.save()
        for _ in range(2):
            request.committed_at = request.committed_at or timezone.now()
            request.save()
        pk = request.pk
        request.delete()

    entries = new_entries()
    assert [(entry["log"], entry["change_type"]) for entry in entries] == [
        ("Change Request: t created", "CREATE"),
        ("Change Request: t approved", "UPDATE"),
        ("Change Request: t committed", "UPDATE"),
        ("Change Request: t deleted", "DELETE"),
    ]
    assert {
        (entry["related_object_type"], entry["related_object_id"], entry["environment"]["id"]) for entry in entries
    } == {("CHANGE_REQUEST", pk, environment.pk)}


def test_change_request__applied__entries_of_its_flags_name_it(
    user: FFAdminUser, project: Project, environment: Environment, state: FeatureState, new_entries: NewEntries
) -> None:
    request = ChangeRequest.objects.create(title="t", project=project, environment=environment)
    with actor.system(request):
        record(bulk.went_live([state], {}))
    with actor.request():
        actor.set_user(user)
        with actor.system(request):
            record(bulk.went_live([state], {}))
        record(bulk.change_request_failed(request, "The feature banner no longer exists."))

    scheduled, immediate, failed = new_entries()
    assert scheduled["log"] == (
        "Scheduled change to Flag state / Remote config value went live for feature: banner by Change Request: t"
    )
    assert immediate["log"] == "Flag state / Remote config updated for feature: banner by Change Request: t"
    for entry in (scheduled, immediate):
        assert (entry["is_system_event"], entry["author"]) == (True, None)
        assert (entry["related_object_type"], entry["related_object_id"]) == ("FEATURE_STATE", state.pk)
    assert failed["log"] == "Change Request: t could not go live: The feature banner no longer exists."
    assert failed["related_object_type"] == "CHANGE_REQUEST"


def test_went_live__without_a_change_request__no_entry(state: FeatureState, new_entries: NewEntries) -> None:
    record(bulk.went_live([state], {}))
    with actor.system():
        record(bulk.went_live([state], {}))

    assert new_entries() == []


@pytest.mark.parametrize("body", [{"enabled": "maybe"}, {"enabled": True, "feature": 0}])
def test_request__invalid__no_entry(
    admin: APIClient, environment_path: str, state: FeatureState, new_entries: NewEntries, body: dict[str, object]
) -> None:
    assert admin.put(f"{environment_path}featurestates/{state.pk}/", body, format="json").status_code == 400
    assert new_entries() == []


def test_request__fails_after_the_change__no_entry(
    admin: APIClient,
    environment_path: str,
    state: FeatureState,
    new_entries: NewEntries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("features.feature_states.services._set_columns", fail)
    body = {"enabled": True, "feature_state_value": "v"}
    response = admin.put(f"{environment_path}featurestates/{state.pk}/", body, format="json")

    assert response.status_code == 500
    assert new_entries() == []


def test_transaction__rolled_back__no_entry(state: FeatureState, feature: Feature, new_entries: NewEntries) -> None:
    with actor.system():
        with transaction.atomic():
            state.enabled = True
            state.save()
            transaction.set_rollback(True)
        feature.description = "new"
        feature.save()

    assert [entry["log"] for entry in new_entries()] == ["Flag / Remote Config updated: banner"]
