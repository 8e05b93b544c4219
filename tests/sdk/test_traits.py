"""``traits/`` and ``traits/bulk/``."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from organisations.models import Organisation

pytestmark = pytest.mark.django_db

ONE = "/api/v1/traits/"
BULK = "/api/v1/traits/bulk/"


def trait(value: Any, key: str = "plan", identifier: str = "ada") -> dict[str, Any]:
    return {"identity": {"identifier": identifier}, "trait_key": key, "trait_value": value}


def stored() -> set[tuple[str, str, Any]]:
    return {
        (row.identity.identifier, row.trait_key, row.trait_value) for row in Trait.objects.select_related("identity")
    }


@pytest.mark.parametrize("value", ["pro", 7, 1.5, True, ""])
def test_trait__posted__is_stored_and_said_again(value: Any, sdk: APIClient) -> None:
    answer = sdk.post(ONE, trait(value))
    assert (answer.status_code, answer.json()) == (200, trait(value))
    assert list(answer.json()) == ["identity", "trait_value", "trait_key"]
    assert stored() == {("ada", "plan", value)}


def test_trait__posted_twice__is_replaced(sdk: APIClient) -> None:
    for value in ("free", 5, "pro"):
        assert sdk.post(ONE, trait(value)).status_code == 200
    assert stored() == {("ada", "plan", "pro")}
    assert Trait.objects.count() == 1


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "identity"),
        (trait(None), "trait_value"),
        (trait(2**63), "trait_value"),
        (trait("x" * 2_001), "trait_value"),
        (trait(1, key="k" * 201), "trait_key"),
        (trait(1, key=""), "trait_key"),
        (trait(1, identifier=""), "identity"),
        (trait(1, identifier="x" * 2_001), "identity"),
        ([trait(1)], "non_field_errors"),
    ],
)
def test_trait__makes_no_sense__400_and_nothing_stored(body: Any, field: str, sdk: APIClient) -> None:
    answer = sdk.post(ONE, body)
    assert answer.status_code == 400
    assert field in answer.json()
    assert not Identity.objects.exists()


@pytest.mark.parametrize("method", ["put", "post"])
def test_bulk__many_identities__all_stored(method: str, sdk: APIClient) -> None:
    sdk.post(ONE, trait("old"))
    body = [trait("pro"), trait(3, key="n"), trait("free", identifier="bob")]
    answer = getattr(sdk, method)(BULK, body)
    assert (answer.status_code, answer.json()) == (200, body)
    assert stored() == {("ada", "plan", "pro"), ("ada", "n", 3), ("bob", "plan", "free")}


def test_bulk__null__is_deleted_and_not_said_again(sdk: APIClient) -> None:
    sdk.put(BULK, [trait("pro"), trait(3, key="n")])
    answer = sdk.put(BULK, [trait(None), trait(4, key="n"), trait(None, key="unknown")])
    assert (answer.status_code, answer.json()) == (200, [trait(4, key="n")])
    assert stored() == {("ada", "n", 4)}


def test_bulk__same_trait_twice__the_last_counts(sdk: APIClient) -> None:
    assert sdk.put(BULK, [trait("free"), trait("pro")]).status_code == 200
    assert stored() == {("ada", "plan", "pro")}


def test_bulk__empty__200(sdk: APIClient) -> None:
    answer = sdk.put(BULK, [])
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("wrong", [{}, 5, trait(1, key=""), {"trait_key": "k", "trait_value": 1}])
def test_bulk__one_makes_no_sense__400_and_nothing_stored(wrong: Any, sdk: APIClient) -> None:
    answer = sdk.put(BULK, [trait("pro"), wrong])
    assert answer.status_code == 400
    assert answer.json()[0] == {}
    assert answer.json()[1]
    assert not Identity.objects.exists()


def test_bulk__no_list__400(sdk: APIClient) -> None:
    answer = sdk.put(BULK, {})
    assert answer.status_code == 400
    assert list(answer.json()) == ["non_field_errors"]


def test_bulk__thousands__as_many_queries(sdk: APIClient, django_assert_max_num_queries: Any) -> None:
    body = [trait(number, key=f"k{number % 10}", identifier=f"user-{number // 10}") for number in range(2_000)]
    # SQLite splits large inserts.
    with django_assert_max_num_queries(40):
        assert sdk.put(BULK, body).status_code == 200
    with django_assert_max_num_queries(8):
        assert sdk.put(BULK, body).status_code == 200
    assert Trait.objects.count() == 2_000


def test_traits__client_may_set_none__400(sdk: APIClient, server: APIClient, environment: Environment) -> None:
    environment.allow_client_traits = False
    environment.save()
    one, bulk = sdk.post(ONE, trait(1)), sdk.put(BULK, [trait(1)])
    assert one.status_code == bulk.status_code == 400
    assert one.json() == {"non_field_errors": ["Setting traits not allowed with client key."]}
    assert bulk.json() == {"detail": "Unable to set traits with client key."}
    assert not Identity.objects.exists()
    assert server.post(ONE, trait(1)).status_code == server.put(BULK, [trait(1)]).status_code == 200


def test_traits__organisation_persists_none__403(server: APIClient, organisation: Organisation) -> None:
    organisation.persist_trait_data = False
    organisation.save()
    for answer in (server.post(ONE, trait(1)), server.put(BULK, [trait(1)])):
        assert (answer.status_code, answer.json()) == (
            403,
            {"detail": "Organisation is not authorised to store traits."},
        )
    assert not Identity.objects.exists()


def test_traits__set__environments_versions_stay(sdk: APIClient, environment: Environment) -> None:
    environment.refresh_from_db()
    before = environment.updated_at, environment.revision
    sdk.post(ONE, trait(1))
    sdk.put(BULK, [trait(2), trait(3, identifier="bob")])
    environment.refresh_from_db()
    assert (environment.updated_at, environment.revision) == before


def test_traits__of_another_environment__stay(sdk: APIClient, production: Environment) -> None:
    other = production.identities.create(identifier="ada")
    Trait.objects.create(identity=other, trait_key="plan", string_value="theirs")
    sdk.put(BULK, [trait(None)])
    sdk.post(ONE, trait("ours"))
    assert stored() == {("ada", "plan", "theirs"), ("ada", "plan", "ours")}
