"""Concurrent requests that store traits."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature
from tests.sdk.conftest import application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

THREADS = 8


def concurrently(call: Callable[[int], Any]) -> list[Any]:
    start = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        try:
            start.wait()
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def trait(key: str, value: Any, identifier: str = "ada") -> dict[str, Any]:
    return {"identity": {"identifier": identifier}, "trait_key": key, "trait_value": value}


def test_identities__concurrent_requests_of_a_new_one__one_identity_with_all_traits(
    environment: Environment, feature: Feature
) -> None:
    def send(number: int) -> Any:
        traits = [{"trait_key": f"own-{number}", "trait_value": number}, {"trait_key": "shared", "trait_value": number}]
        body = {"identifier": "ada", "traits": traits}
        return application(environment.api_key).post("/api/v1/identities/", body)

    assert [response.status_code for response in concurrently(send)] == [200] * THREADS
    assert Identity.objects.count() == 1
    stored = {row.trait_key: row.trait_value for row in Trait.objects.all()}
    assert {f"own-{number}": number for number in range(THREADS)}.items() <= stored.items()
    assert stored["shared"] in range(THREADS)


def test_bulk__in_opposite_orders__no_deadlock(environment: Environment) -> None:
    """Requests write and delete the same traits in opposite orders."""
    names = ("ada", "bob")

    def send(number: int) -> Any:
        turn = 1 if number % 2 else -1
        body = [trait(key, None if number % 3 else number, name) for name in names[::turn] for key in "abc"[::turn]]
        return [application(environment.api_key).put("/api/v1/traits/bulk/", body).status_code for _ in range(5)]

    assert concurrently(send) == [[200] * 5] * THREADS


DELETIONS = {
    "the identity": ("DELETE", "environments/{env}/identities/{identity}/"),
    "its trait from all": ("POST", "environments/{env}/delete-traits/"),
    "the environment": ("DELETE", "environments/{env}/"),
    "the project": ("DELETE", "projects/{project}/"),
    "the organisation": ("DELETE", "organisations/{organisation}/"),
}


@pytest.mark.parametrize("deleted", DELETIONS)
def test_deletion__while_sdks_send_traits__both_succeed(
    deleted: str, environment: Environment, feature: Feature, admin: APIClient
) -> None:
    sdk = application(environment.api_key)
    sdk.put("/api/v1/traits/bulk/", [trait(key, 0, name) for name in ("ada", "bob") for key in "abcdef"])
    method, path = DELETIONS[deleted]
    path = path.format(
        env=environment.api_key,
        identity=Identity.objects.get(identifier="ada").pk,
        project=environment.project_id,
        organisation=environment.project.organisation_id,
    )

    def send(number: int) -> set[int]:
        if number == 0:
            return {
                admin.generic(method, f"/api/v1/{path}", '{"key": "c"}', content_type="application/json").status_code
            }
        client, found = application(environment.api_key), set()
        for turn in range(10):
            order = "abcdef"[:: 1 if (number + turn) % 2 else -1]
            body = [trait(key, turn * 10 + number, name) for name in ("bob", "ada", f"new-{number}") for key in order]
            found.add(client.put("/api/v1/traits/bulk/", body).status_code)
        return found

    deletion, *sent = concurrently(send)
    assert deletion in ({200}, {204})
    # 403: the environment was deleted.
    assert all(statuses <= {200, 403} for statuses in sent)
