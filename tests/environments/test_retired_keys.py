"""Retired client keys stay reserved for their organisation, because applications contain them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Barrier
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from rest_framework.test import APIClient

from environments.models import Environment, ReservedKey
from organisations.models import Organisation
from projects.models import Project
from tests.sdk.conftest import application
from tests.support.patience import PATIENCE

ENVIRONMENTS = "/api/v1/environments/"
KEY = "shipped-key"
KEY_EXISTS = {"api_key": ["environment with this api key already exists."]}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def shipped(admin: APIClient, environment: Environment) -> Environment:
    """``environment`` with the key ``KEY``."""
    assert admin.patch(f"{ENVIRONMENTS}{environment.api_key}/", {"api_key": KEY}, format="json").status_code == 200
    environment.refresh_from_db()
    return environment


@pytest.fixture
def foreign(outsider: APIClient) -> Project:
    """A project of another organisation."""
    return Project.objects.create(name="Foreign", organisation=Organisation.objects.get(name="Strangers"))


def update_by_sql(environment: Environment) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE environments_environment SET api_key = 'other' WHERE id = %s", [environment.pk])


def save(environment: Environment) -> None:
    environment.api_key = "other"
    environment.save()


def bulk_update(environment: Environment) -> None:
    environment.api_key = "other"
    Environment.objects.bulk_update([environment], ["api_key"])


RETIREMENTS: dict[str, Callable[[APIClient, Environment], object]] = {
    "key changed": lambda admin, each: admin.patch(f"{ENVIRONMENTS}{KEY}/", {"api_key": "other"}, format="json"),
    "environment deleted": lambda admin, each: admin.delete(f"{ENVIRONMENTS}{KEY}/"),
    "project deleted": lambda admin, each: admin.delete(f"/api/v1/projects/{each.project_id}/"),
    "organisation deleted": lambda admin, each: admin.delete(f"/api/v1/organisations/{each.project.organisation_id}/"),
    "saved": lambda admin, each: save(each),
    "updated": lambda admin, each: Environment.objects.filter(pk=each.pk).update(api_key="other"),
    "updated in bulk": lambda admin, each: bulk_update(each),
    "deleted by a query": lambda admin, each: Environment.objects.filter(pk=each.pk).delete(),
    "deleted by a cascade": lambda admin, each: Organisation.objects.filter(pk=each.project.organisation_id).delete(),
    "updated by SQL": lambda admin, each: update_by_sql(each),
}


@pytest.mark.parametrize("retirement", RETIREMENTS)
def test_key__retired__400_for_other_organisations_like_a_key_in_use(
    admin: APIClient, outsider: APIClient, shipped: Environment, foreign: Project, retirement: str
) -> None:
    own_key = outsider.post(ENVIRONMENTS, {"name": "Own", "project": foreign.pk}, format="json").json()["api_key"]

    def attempts() -> list[tuple[int, Any]]:
        responses = [
            outsider.post(ENVIRONMENTS, {"name": "B", "project": foreign.pk, "api_key": KEY}, format="json"),
            outsider.post(ENVIRONMENTS, {"name": "", "project": foreign.pk, "api_key": KEY}, format="json"),
            outsider.patch(f"{ENVIRONMENTS}{own_key}/", {"api_key": KEY}, format="json"),
            outsider.put(f"{ENVIRONMENTS}{own_key}/", {"name": "C", "api_key": KEY}, format="json"),
        ]
        return [(response.status_code, response.json()) for response in responses]

    in_use = attempts()
    assert in_use[::2] == [(400, KEY_EXISTS)] * 2
    RETIREMENTS[retirement](admin, shipped)
    assert not Environment.objects.filter(api_key=KEY).exists()
    assert attempts() == in_use
    assert application(KEY).get("/api/v1/flags/").status_code == 403


@pytest.mark.parametrize("retirement", ["key changed", "environment deleted", "project deleted", "updated"])
def test_key__retired__its_organisation_may_use_it_again(
    admin: APIClient, outsider: APIClient, shipped: Environment, foreign: Project, retirement: str
) -> None:
    organisation = shipped.project.organisation
    RETIREMENTS[retirement](admin, shipped)
    other = Project.objects.create(name="Another", organisation=organisation)

    body = {"name": "Back", "project": other.pk, "api_key": KEY}
    assert admin.post(ENVIRONMENTS, body, format="json").status_code == 201
    assert application(KEY).get("/api/v1/flags/").status_code == 200
    assert admin.delete(f"{ENVIRONMENTS}{KEY}/").status_code == 204
    response = outsider.post(ENVIRONMENTS, {**body, "project": foreign.pk}, format="json")
    assert (response.status_code, response.json()) == (400, KEY_EXISTS)


def test_environment__put_with_its_current_key__accepted(admin: APIClient, shipped: Environment) -> None:
    response = admin.put(f"{ENVIRONMENTS}{KEY}/", {"name": "Renamed", "api_key": KEY}, format="json")
    assert (response.status_code, response.json()["name"]) == (200, "Renamed")


def test_key__retired__integrity_error_for_other_organisations_in_the_orm(
    shipped: Environment, foreign: Project
) -> None:
    other = Environment.objects.create(name="Other", project=foreign)
    shipped.delete()

    def save() -> None:
        other.api_key = KEY
        other.save(update_fields=["api_key"])

    def bulk_update() -> None:
        other.api_key = KEY
        Environment.objects.bulk_update([other], ["api_key"])

    for write in (
        lambda: Environment.objects.create(name="New", project=foreign, api_key=KEY),
        lambda: Environment.objects.bulk_create([Environment(name="New", project=foreign, api_key=KEY)]),
        lambda: foreign.environments.update(api_key=KEY),
        save,
        bulk_update,
    ):
        with pytest.raises(IntegrityError):
            write()
    assert [environment.name for environment in Environment.objects.exclude(api_key=KEY)] == ["Other"]
    assert not Environment.objects.filter(api_key=KEY).exists()


def test_key__created_by_bulk_create_and_retired__reserved(environment: Environment, foreign: Project) -> None:
    Environment.objects.bulk_create([Environment(name="Bulk", project=environment.project, api_key=KEY)])
    Environment.objects.filter(api_key=KEY).delete()

    with pytest.raises(IntegrityError):
        Environment.objects.create(name="New", project=foreign, api_key=KEY)


def call_concurrently(*calls: Callable[[], Any]) -> list[Any]:
    """Make the calls at the same time, each in a thread. Returns their results."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait(PATIENCE)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


def copy(client: APIClient) -> APIClient:
    """A client with the same credentials, for another thread."""
    new = APIClient(raise_request_exception=False)
    new.credentials(**client._credentials)
    return new


@pytest.mark.parametrize("attempt", range(5))
def test_key__requested_by_two_organisations_concurrently__one_gets_it(
    admin: APIClient, outsider: APIClient, project: Project, foreign: Project, attempt: int
) -> None:
    def post(client: APIClient, project: Project) -> Callable[[], Any]:
        body = {"name": "New", "project": project.pk, "api_key": KEY}
        own_client = copy(client)
        return lambda: own_client.post(ENVIRONMENTS, body, format="json")

    responses = call_concurrently(post(admin, project), post(outsider, foreign))

    assert sorted(response.status_code for response in responses) == [201, 400]
    (errors,) = [response.json() for response in responses if response.status_code == 400]
    assert errors == KEY_EXISTS
    created = Environment.objects.get(api_key=KEY)
    assert ReservedKey.objects.get(key=KEY).organisation_id == created.project.organisation_id


@pytest.mark.parametrize("attempt", range(5))
def test_key__requested_by_another_organisation_while_it_is_retired__400(
    admin: APIClient, outsider: APIClient, shipped: Environment, foreign: Project, attempt: int
) -> None:
    admin_copy, outsider_copy = copy(admin), copy(outsider)
    body = {"name": "B", "project": foreign.pk, "api_key": KEY}
    deleted, denied = call_concurrently(
        lambda: admin_copy.delete(f"{ENVIRONMENTS}{KEY}/"),
        lambda: outsider_copy.post(ENVIRONMENTS, body, format="json"),
    )

    assert (deleted.status_code, denied.status_code, denied.json()) == (204, 400, KEY_EXISTS)


def test_transaction__rolled_back__key_not_reserved(project: Project, foreign: Project) -> None:
    with transaction.atomic():
        Environment.objects.create(name="Never", project=project, api_key=KEY)
        transaction.set_rollback(True)

    Environment.objects.create(name="New", project=foreign, api_key=KEY)


def test_migration__existing_environments__their_keys_are_reserved(shipped: Environment) -> None:
    ReservedKey.objects.all().delete()
    import_module("environments.migrations.0007_reserved_keys").reserve(apps, None)

    assert ReservedKey.objects.get().organisation_id == shipped.project.organisation_id
