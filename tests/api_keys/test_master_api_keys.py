from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from environments.models import Environment
from organisations.models import Organisation
from tests.api_keys.clients import with_master_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/master-api-keys/"


def test_master_key__created__returned_once_and_accepted(
    admin: APIClient, anonymous: APIClient, organisation: Organisation, path: str
) -> None:
    response = admin.post(path, {"name": "ci"}, format="json")

    assert response.status_code == 201
    created = response.json()
    assert list(created) == [
        "id",
        "prefix",
        "created",
        "name",
        "revoked",
        "expiry_date",
        "key",
        "is_admin",
        "has_expired",
        "created_by",
    ]
    assert created["key"].startswith(f"{created['prefix']}.")
    assert "key" not in admin.get(f"{path}{created['prefix']}/").json()
    assert "key" not in admin.get(path).json()["results"][0]
    organisations = anonymous.get("/api/v1/organisations/", HTTP_AUTHORIZATION=f"Api-Key {created['key']}").json()
    assert [(each["id"], each["role"]) for each in organisations["results"]] == [(organisation.pk, "ADMIN")]


def test_master_key__revoked__401_and_not_listed(admin: APIClient, organisation: Organisation, path: str) -> None:
    script = with_master_key(organisation)
    key = MasterAPIKey.objects.get()

    assert admin.patch(f"{path}{key.prefix}/", {"revoked": True}, format="json").status_code == 200

    response = script.get("/api/v1/projects/")
    assert (response.status_code, response.json()) == (401, {"detail": "Valid Master API Key not found."})
    assert admin.get(path).json()["results"] == []
    assert admin.get(f"{path}{key.prefix}/").status_code == 404


def test_master_key__expired__401(organisation: Organisation) -> None:
    script = with_master_key(organisation, expiry_date=timezone.now() - timedelta(seconds=1))

    assert script.get("/api/v1/projects/").status_code == 401


def test_master_key__deleted__401(admin: APIClient, organisation: Organisation, path: str) -> None:
    script = with_master_key(organisation)

    assert admin.delete(f"{path}{MasterAPIKey.objects.get().prefix}/").status_code == 204
    assert script.get("/api/v1/projects/").status_code == 401


def test_master_key__manages_keys__401(organisation: Organisation, path: str) -> None:
    script = with_master_key(organisation)

    assert script.get(path).status_code == 401
    assert script.post(path, {"name": "another"}, format="json").status_code == 401
    assert MasterAPIKey.objects.count() == 1


def test_master_keys__member_and_outsider__403_and_404(member: APIClient, outsider: APIClient, path: str) -> None:
    assert member.get(path).status_code == 403
    response = outsider.post(path, {"name": "mine"}, format="json")
    assert (response.status_code, response.json()) == (404, {"detail": "No Organisation matches the given query."})


@pytest.mark.parametrize(
    "body, field",
    [({}, "name"), ({"name": "x" * 51}, "name"), ({"name": "x", "is_admin": False}, "is_admin")],
)
def test_master_key__invalid_field__400_names_it(
    admin: APIClient, path: str, body: dict[str, object], field: str
) -> None:
    response = admin.post(path, body, format="json")

    assert (response.status_code, list(response.json())) == (400, [field])
    assert not MasterAPIKey.objects.exists()


def test_master_key__two_organisations__admin_of_its_own_only(
    organisation: Organisation, environment: Environment
) -> None:
    script = with_master_key(organisation)
    other_script = with_master_key(Organisation.objects.create(name="Other"))

    renamed = script.patch(f"/api/v1/environments/{environment.api_key}/", {"name": "Renamed"}, format="json")
    assert renamed.status_code == 200
    assert other_script.get(f"/api/v1/environments/{environment.api_key}/").status_code == 404
    assert other_script.get(f"/api/v1/organisations/{organisation.pk}/").status_code == 404


@pytest.mark.parametrize("scope", ["organisations/{}/", "projects/{}/", "environments/{}/"])
def test_my_permissions__master_key__400(organisation: Organisation, environment: Environment, scope: str) -> None:
    name = {
        "organisations/{}/": organisation.pk,
        "projects/{}/": environment.project_id,
        "environments/{}/": environment.api_key,
    }[scope]

    response = with_master_key(organisation).get(f"/api/v1/{scope.format(name)}my-permissions/")

    assert response.status_code == 400
    assert response.json() == {"detail": "This endpoint can only be used with a user and not Master API Key"}
