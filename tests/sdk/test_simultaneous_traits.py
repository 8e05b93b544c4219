"""Many requests of one identity at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature
from tests.sdk.conftest import application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

THREADS = 8


def at_once(call: Callable[[int], Any]) -> list[Any]:
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


def test_identities__new_one_from_everywhere__one_identity_with_all_traits(
    environment: Environment, feature: Feature
) -> None:
    def ask(number: int) -> Any:
        traits = [{"trait_key": f"own-{number}", "trait_value": number}, {"trait_key": "shared", "trait_value": number}]
        body = {"identifier": "ada", "traits": traits}
        return application(environment.api_key).post("/api/v1/identities/", body)

    assert [answer.status_code for answer in at_once(ask)] == [200] * THREADS
    assert Identity.objects.count() == 1
    stored = {row.trait_key: row.trait_value for row in Trait.objects.all()}
    assert {f"own-{number}": number for number in range(THREADS)}.items() <= stored.items()
    assert stored["shared"] in range(THREADS)


def test_bulk__crosswise__nobody_waits_for_ever(environment: Environment) -> None:
    """One writes what the other deletes, each in the opposite order."""
    names = ("ada", "bob")

    def ask(number: int) -> Any:
        turn = 1 if number % 2 else -1
        body = [trait(key, None if number % 3 else number, name) for name in names[::turn] for key in "abc"[::turn]]
        return [application(environment.api_key).put("/api/v1/traits/bulk/", body).status_code for _ in range(5)]

    assert at_once(ask) == [[200] * 5] * THREADS


def test_identity__deleted_while_it_asks__is_served(environment: Environment, feature: Feature) -> None:
    def ask(number: int) -> Any:
        if number == 0:
            for _ in range(10):
                Identity.objects.filter(identifier="ada").delete()
            return [200] * 10
        body = {"identifier": "ada", "traits": [{"trait_key": "n", "trait_value": number}]}
        client = application(environment.api_key)
        return [client.post("/api/v1/identities/", body).status_code for _ in range(10)]

    assert at_once(ask) == [[200] * 10] * THREADS
