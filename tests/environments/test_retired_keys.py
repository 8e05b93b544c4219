"""Client keys that an environment has had stay its organisation's: they ship in applications."""

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
TAKEN = {"api_key": ["environment with this api key already exists."]}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def shipped(admin: APIClient, environment: Environment) -> Environment:
    """``environment`` with the key that applications were shipped with."""
    assert admin.patch(f"{ENVIRONMENTS}{environment.api_key}/", {"api_key": KEY}, format="json").status_code == 200
    environment.refresh_from_db()
    return environment


@pytest.fixture
def foreign(outsider: APIClient) -> Project:
    """A project of another organisation."""
    return Project.objects.create(name="Theirs", organisation=Organisation.objects.get(name="Strangers"))


def by_hand(environment: Environment) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE environments_environment SET api_key = 'other' WHERE id = %s", [environment.pk])


def saved(environment: Environment) -> None:
    environment.api_key = "other"
    environment.save()


def bulk_updated(environment: Environment) -> None:
    environment.api_key = "other"
    Environment.objects.bulk_update([environment], ["api_key"])


WAYS: dict[str, Callable[[APIClient, Environment], object]] = {
    "key changed": lambda admin, each: admin.patch(f"{ENVIRONMENTS}{KEY}/", {"api_key": "other"}, format="json"),
    "environment deleted": lambda admin, each: admin.delete(f"{ENVIRONMENTS}{KEY}/"),
    "project deleted": lambda admin, each: admin.delete(f"/api/v1/projects/{each.project_id}/"),
    "organisation deleted": lambda admin, each: admin.delete(f"/api/v1/organisations/{each.project.organisation_id}/"),
    "saved": lambda admin, each: saved(each),
    "updated": lambda admin, each: Environment.objects.filter(pk=each.pk).update(api_key="other"),
    "updated in bulk": lambda admin, each: bulk_updated(each),
    "deleted by a query": lambda admin, each: Environment.objects.filter(pk=each.pk).delete(),
    "deleted by a cascade": lambda admin, each: Organisation.objects.filter(pk=each.project.organisation_id).delete(),
    "changed by hand": lambda admin, each: by_hand(each),
}


@pytest.mark.parametrize("way", WAYS)
def test_key__retired_in_any_way__refused_to_others_like_a_key_in_use(
    admin: APIClient, outsider: APIClient, shipped: Environment, foreign: Project, way: str
) -> None:
    mine = outsider.post(ENVIRONMENTS, {"name": "Mine", "project": foreign.pk}, format="json").json()["api_key"]

    def attempts() -> list[tuple[int, Any]]:
        answers = [
            outsider.post(ENVIRONMENTS, {"name": "B", "project": foreign.pk, "api_key": KEY}, format="json"),
            outsider.post(ENVIRONMENTS, {"name": "", "project": foreign.pk, "api_key": KEY}, format="json"),
            outsider.patch(f"{ENVIRONMENTS}{mine}/", {"api_key": KEY}, format="json"),
            outsider.put(f"{ENVIRONMENTS}{mine}/", {"name": "C", "api_key": KEY}, format="json"),
        ]
        return [(answer.status_code, answer.json()) for answer in answers]

    in_use = attempts()
    assert in_use[::2] == [(400, TAKEN)] * 2
    WAYS[way](admin, shipped)
    assert not Environment.objects.filter(api_key=KEY).exists()
    assert attempts() == in_use
    assert application(KEY).get("/api/v1/flags/").status_code == 403


@pytest.mark.parametrize("way", ["key changed", "environment deleted", "project deleted", "updated"])
def test_key__retired__its_organisation_may_use_it_again(
    admin: APIClient, outsider: APIClient, shipped: Environment, foreign: Project, way: str
) -> None:
    organisation = shipped.project.organisation
    WAYS[way](admin, shipped)
    other = Project.objects.create(name="Another", organisation=organisation)

    body = {"name": "Back", "project": other.pk, "api_key": KEY}
    assert admin.post(ENVIRONMENTS, body, format="json").status_code == 201
    assert application(KEY).get("/api/v1/flags/").status_code == 200
    assert admin.delete(f"{ENVIRONMENTS}{KEY}/").status_code == 204
    answer = outsider.post(ENVIRONMENTS, {**body, "project": foreign.pk}, format="json")
    assert (answer.status_code, answer.json()) == (400, TAKEN)


def test_environment__own_key_sent_again__accepted(admin: APIClient, shipped: Environment) -> None:
    answer = admin.put(f"{ENVIRONMENTS}{KEY}/", {"name": "Renamed", "api_key": KEY}, format="json")
    assert (answer.status_code, answer.json()["name"]) == (200, "Renamed")


def test_key__retired__written_by_no_other_organisation_through_the_orm(shipped: Environment, foreign: Project) -> None:
    theirs = Environment.objects.create(name="Theirs", project=foreign)
    shipped.delete()

    def save() -> None:
        theirs.api_key = KEY
        theirs.save(update_fields=["api_key"])

    def bulk_update() -> None:
        theirs.api_key = KEY
        Environment.objects.bulk_update([theirs], ["api_key"])

    for write in (
        lambda: Environment.objects.create(name="New", project=foreign, api_key=KEY),
        lambda: Environment.objects.bulk_create([Environment(name="New", project=foreign, api_key=KEY)]),
        lambda: foreign.environments.update(api_key=KEY),
        save,
        bulk_update,
    ):
        with pytest.raises(IntegrityError):
            write()
    assert [each.name for each in Environment.objects.exclude(api_key=KEY)] == ["Theirs"]
    assert not Environment.objects.filter(api_key=KEY).exists()


def test_key__made_in_bulk_and_retired__reserved_too(environment: Environment, foreign: Project) -> None:
    Environment.objects.bulk_create([Environment(name="Bulk", project=environment.project, api_key=KEY)])
    Environment.objects.filter(api_key=KEY).delete()

    with pytest.raises(IntegrityError):
        Environment.objects.create(name="New", project=foreign, api_key=KEY)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The calls' results, all made at the same moment."""
    barrier = Barrier(len(calls))

    def make(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait(PATIENCE)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(make, call) for call in calls]]


def copy(client: APIClient) -> APIClient:
    """The same caller for another thread."""
    own = APIClient(raise_request_exception=False)
    own.credentials(**client._credentials)
    return own


@pytest.mark.parametrize("attempt", range(5))
def test_key__new_to_two_organisations_at_once__one_has_it_for_good(
    admin: APIClient, outsider: APIClient, project: Project, foreign: Project, attempt: int
) -> None:
    def post(client: APIClient, into: Project) -> Callable[[], Any]:
        body = {"name": "New", "project": into.pk, "api_key": KEY}
        own = copy(client)
        return lambda: own.post(ENVIRONMENTS, body, format="json")

    answers = at_once(post(admin, project), post(outsider, foreign))

    assert sorted(answer.status_code for answer in answers) == [201, 400]
    (refusal,) = [answer.json() for answer in answers if answer.status_code == 400]
    assert refusal == TAKEN
    winner = Environment.objects.get(api_key=KEY)
    assert ReservedKey.objects.get(key=KEY).organisation_id == winner.project.organisation_id


@pytest.mark.parametrize("attempt", range(5))
def test_key__retired_at_the_moment_when_another_takes_it__refused(
    admin: APIClient, outsider: APIClient, shipped: Environment, foreign: Project, attempt: int
) -> None:
    retiring, taking = copy(admin), copy(outsider)
    retired, taken = at_once(
        lambda: retiring.delete(f"{ENVIRONMENTS}{KEY}/"),
        lambda: taking.post(ENVIRONMENTS, {"name": "B", "project": foreign.pk, "api_key": KEY}, format="json"),
    )

    assert (retired.status_code, taken.status_code, taken.json()) == (204, 400, TAKEN)


def test_transaction__rolled_back__reserves_nothing(project: Project, foreign: Project) -> None:
    with transaction.atomic():
        Environment.objects.create(name="Never", project=project, api_key=KEY)
        transaction.set_rollback(True)

    Environment.objects.create(name="New", project=foreign, api_key=KEY)


def test_migration__environments_from_before__their_keys_are_reserved(shipped: Environment) -> None:
    ReservedKey.objects.all().delete()
    import_module("environments.migrations.0007_reserved_keys").reserve(apps, None)

    assert ReservedKey.objects.get().organisation_id == shipped.project.organisation_id
