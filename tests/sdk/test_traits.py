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
def test_trait__posted__stored_and_returned(value: Any, sdk: APIClient) -> None:
    response = sdk.post(ONE, trait(value))
    assert (response.status_code, response.json()) == (200, trait(value))
    assert list(response.json()) == ["identity", "trait_value", "trait_key"]
    assert stored() == {("ada", "plan", value)}


def test_trait__posted_twice__replaced(sdk: APIClient) -> None:
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
def test_trait__bad_body__400_and_nothing_stored(body: Any, field: str, sdk: APIClient) -> None:
    response = sdk.post(ONE, body)
    assert response.status_code == 400
    assert field in response.json()
    assert not Identity.objects.exists()


@pytest.mark.parametrize("method", ["put", "post"])
def test_bulk__many_identities__all_stored(method: str, sdk: APIClient) -> None:
    sdk.post(ONE, trait("old"))
    body = [trait("pro"), trait(3, key="n"), trait("free", identifier="bob")]
    response = getattr(sdk, method)(BULK, body)
    assert (response.status_code, response.json()) == (200, body)
    assert stored() == {("ada", "plan", "pro"), ("ada", "n", 3), ("bob", "plan", "free")}


def test_bulk__null__deleted_and_not_returned(sdk: APIClient) -> None:
    sdk.put(BULK, [trait("pro"), trait(3, key="n")])
    response = sdk.put(BULK, [trait(None), trait(4, key="n"), trait(None, key="unknown")])
    assert (response.status_code, response.json()) == (200, [trait(4, key="n")])
    assert stored() == {("ada", "n", 4)}


def test_bulk__same_trait_twice__last_value_stored(sdk: APIClient) -> None:
    assert sdk.put(BULK, [trait("free"), trait("pro")]).status_code == 200
    assert stored() == {("ada", "plan", "pro")}


def test_bulk__empty__200(sdk: APIClient) -> None:
    response = sdk.put(BULK, [])
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize("wrong", [{}, 5, trait(1, key=""), {"trait_key": "k", "trait_value": 1}])
def test_bulk__one_bad_item__400_and_nothing_stored(wrong: Any, sdk: APIClient) -> None:
    response = sdk.put(BULK, [trait("pro"), wrong])
    assert response.status_code == 400
    assert response.json()[0] == {}
    assert response.json()[1]
    assert not Identity.objects.exists()


def test_bulk__not_a_list__400(sdk: APIClient) -> None:
    response = sdk.put(BULK, {})
    assert response.status_code == 400
    assert list(response.json()) == ["non_field_errors"]


def test_bulk__thousands_of_traits__few_queries(sdk: APIClient, django_assert_max_num_queries: Any) -> None:
    body = [trait(number, key=f"k{number % 10}", identifier=f"user-{number // 10}") for number in range(2_000)]
    # SQLite splits large inserts.
    with django_assert_max_num_queries(40):
        assert sdk.put(BULK, body).status_code == 200
    with django_assert_max_num_queries(8):
        assert sdk.put(BULK, body).status_code == 200
    assert Trait.objects.count() == 2_000


def test_traits__client_side_key_may_not_set_them__400(
    sdk: APIClient, server: APIClient, environment: Environment
) -> None:
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
    for response in (server.post(ONE, trait(1)), server.put(BULK, [trait(1)])):
        assert (response.status_code, response.json()) == (
            403,
            {"detail": "Organisation is not authorised to store traits."},
        )
    assert not Identity.objects.exists()


def test_traits__set__version_unchanged(sdk: APIClient, environment: Environment) -> None:
    environment.refresh_from_db()
    before = environment.updated_at, environment.revision
    sdk.post(ONE, trait(1))
    sdk.put(BULK, [trait(2), trait(3, identifier="bob")])
    environment.refresh_from_db()
    assert (environment.updated_at, environment.revision) == before


def test_traits__of_another_environment__unchanged(sdk: APIClient, production: Environment) -> None:
    other = production.identities.create(identifier="ada")
    Trait.objects.create(identity=other, trait_key="plan", string_value="theirs")
    sdk.put(BULK, [trait(None)])
    sdk.post(ONE, trait("ours"))
    assert stored() == {("ada", "plan", "theirs"), ("ada", "plan", "ours")}
